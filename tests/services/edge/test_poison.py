"""A message that kills or hangs the worker: it is tried alone so often and no oftener, and takes no neighbour along."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.common import exit_status
from services.messages import Sample
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.rejected import rejections
from tests.services.edge.processes import RUN, EdgeProcess, edge_process
from tests.services.edge.site import ALL_LEAVE, Site, pixels, sample
from tests.services.edge.test_worker_windows import ids, readings

pytestmark = pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)

#: A worker whose decoders fail as those written in C do, on what they are marked to fail on.
FRAGILE = f"""
import ctypes, time
from services.edge.ingest.decoding import paths
from services.pictures import decode as image

def fail(content):
    if b"deadly" in content:
        ctypes.string_at(0)
    if b"faulty" in content:
        raise RuntimeError("a fault of ours")
    if b"endless" in content:
        time.sleep(3600)
    if b"seizing" in content:
        ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock: no other thread runs

open_picture, parse_json = image.Image.open, paths.parse_json

def open_fragile(file, **options):
    fail(file.getvalue())
    return open_picture(file, **options)

def parse_fragile(payload):
    fail(payload)
    return parse_json(payload)

image.Image.open, paths.parse_json = open_fragile, parse_fragile
{RUN}
"""


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def picture(name: str) -> bytes:
    """A good PNG, and what the fragile decoder looks for."""
    file = io.BytesIO()
    Image.fromarray(pixels(1)[:, :, 0]).save(file, "PNG")
    return Sample(name, 1e9, "image", None, None, file.getvalue() + name.encode()).encode()


def begun(worker: EdgeProcess, wait_for: WaitFor) -> None:
    """The broker has the worker's session, and what is published now comes in one batch."""
    wait_for(worker.online, "the worker is online", 60)
    worker.stop()


def rejected(worker: EdgeProcess) -> list[tuple[str, str]]:
    return [(each.device, each.reason) for each in rejections(worker.spool / "journal.sqlite")]


def test_a_payload_that_crashes_the_decoder_is_rejected_after_its_lone_attempts_and_the_rest_goes_on(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    settings = {"thresholds": ALL_LEAVE, "max_deliveries": 3}
    with edge_process(site, tmp_path / "spool", settings, code=FRAGILE) as worker:
        begun(worker, wait_for)
        before, after = range(10), range(10, 20)
        site.publish("cam", *map(sample, before), picture("deadly"), *map(sample, after))
        worker.start()
        wait_for(lambda: worker.supervise() and len(site.finals()) == 20, "every other sample's label", 120)
        wait_for(lambda: worker.supervise() and worker.online(), "the worker stays", 60)
        assert worker.ended == [-signal.SIGSEGV] * 4  # once in its batch, three times alone
        wait_for(lambda: worker.count("drops_total", reason="poison") == 1, "the rejection is counted")
        wait_for(lambda: worker.count("messages_acknowledged_total") > 0, "it is acknowledged")
        assert "stopped_uncleanly" in worker.log
        assert {one.id for one in site.heard} == {f"s-{number}" for number in range(20)}

        site.publish("cam", picture("deadly"), sample(20))
        wait_for(lambda: worker.supervise() and len(site.finals()) == 21, "the sample behind it", 60)
        assert len(worker.ended) == 4, "the same message came again and was tried again"
        wait_for(lambda: worker.count("samples_redelivered_total", state="rejected") == 1, "it is known")
        worker.stop()
        assert rejected(worker) == [("cam", "poison")]


@pytest.mark.parametrize(("name", "status"), [("endless", exit_status.HANG), ("seizing", -signal.SIGALRM)])
def test_a_payload_that_hangs_ends_the_process_and_is_rejected_like_one_that_crashes(
    site: Site, tmp_path: Path, wait_for: WaitFor, name: str, status: int
) -> None:
    settings = {"thresholds": ALL_LEAVE, "max_deliveries": 1, "batch_timeout_s": 3.0}
    with edge_process(site, tmp_path / "spool", settings, code=FRAGILE) as worker:
        begun(worker, wait_for)
        site.publish("cam", sample(0), picture(name), sample(1))
        worker.start()
        said: set[str] = set()

        def answered() -> bool:
            if name == "endless":
                said.update(worker.check("/readyz")[1])
            return worker.supervise() and len(site.finals()) == 2

        wait_for(answered, "the others' labels", 120)
        wait_for(lambda: worker.supervise() and worker.online(), "the worker stays", 60)
        assert worker.ended == [status, status]
        assert name != "endless" or any("at one step for" in reason for reason in said)
        assert ("batch_hangs" if status == exit_status.HANG else "fail") in worker.log, "the log tells what hung"
        worker.stop()
        assert rejected(worker) == [("cam", "poison")]


@pytest.mark.parametrize(("name", "status"), [("deadly", -signal.SIGSEGV), ("faulty", 1)])
def test_a_reading_that_ends_the_worker_is_rejected_and_cuts_its_window_once(
    mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, wait_for: WaitFor, name: str, status: int
) -> None:
    sensor: dict[str, Any] = {
        "bundle": "har",
        "thresholds": ALL_LEAVE,
        "max_deliveries": 1,
        "inputs": [{"topic": "dewpoint/{site}/in/{device}", "kind": "sensor", "window": {"hop": 64}}],
    }
    with (
        Site(mqtt_broker, redis_server, tmp_path, name="har") as site,
        edge_process(site, tmp_path / "spool", sensor, code=FRAGILE) as worker,
    ):
        begun(worker, wait_for)
        broken = b'{"seq": 64, "values": "%s"}' % name.encode()
        site.publish("phone", readings(0), readings(32), broken, readings(64), readings(96), broken)
        site.publish("phone", readings(128), readings(160))
        worker.start()
        wait_for(lambda: worker.supervise() and len(site.finals()) == 1, "the window behind it", 120)
        assert set(site.finals()) == ids(64)
        assert worker.ended == [status] * 2
        wait_for(worker.online, "the worker stays")
        assert worker.count("window_tails_total", cause="rejected") == 1
        worker.stop()
        assert rejected(worker) == [("phone", "poison")]
