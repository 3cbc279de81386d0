"""Ten times what the worker can do: memory stays flat, and what is answered is answered soon."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.messages import Sample
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import RUN, EdgeProcess, edge_process
from tests.services.edge.site import ALL_LEAVE, Site

pytestmark = [pytest.mark.early, pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)]

SERVICE_S = 0.02
FLOOD_PER_S = 10 / SERVICE_S
SECONDS = 3
COUNT = round(FLOOD_PER_S * SECONDS)
QUEUE_MAX = 8
WARM_UP = 50
GROWTH_BYTES_MAX = 16 << 20  # of the 60 MB that are sent; the inbox has room for 64 messages of 40 kB


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def slow(until: Path) -> str:
    """A worker that needs `SERVICE_S` for every picture, until the file `until` is there."""
    return f"""
import time
from pathlib import Path
from services.pictures import decode

open_picture = decode.Image.open
until = Path({str(until)!r})

def open_slowly(file, **options):
    if not until.exists():
        time.sleep({SERVICE_S})
    return open_picture(file, **options)

decode.Image.open = open_slowly
{RUN}
"""


def picture() -> bytes:
    """A PNG of about 40 kB, which `fit = resize` makes small."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def resident_bytes(worker: EdgeProcess) -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def flood(site: Site, worker: EdgeProcess, qos: int) -> int:
    """Publish at ten times the worker's rate; the greatest growth of its memory meanwhile, in bytes."""
    data, begun, before, growth = picture(), time.time(), resident_bytes(worker), 0
    for number in range(COUNT):
        one = Sample(f"f-{number}", time.time(), "image", None, None, data).encode()
        assert site.devices.publish("dewpoint/home/in/cam", one, qos=qos, timeout_s=30)
        ahead_s = begun + number / FLOOD_PER_S - time.time()
        if ahead_s > 0:
            time.sleep(ahead_s)
        if number % 100 == 0:
            growth = max(growth, resident_bytes(worker) - before)
    assert site.devices.flush(timeout_s=60)
    return max(growth, resident_bytes(worker) - before)


def input_of(overload: str) -> dict[str, Any]:
    return {
        "thresholds": ALL_LEAVE,
        "batch_max": 4,
        "inbox_max": 64,
        "inputs": [
            {
                "topic": "dewpoint/{site}/in/{device}",
                "fit": "resize",
                "overload": overload,
                "queue_max": QUEUE_MAX,
                "qos": 0 if overload == "drop_oldest" else 1,
            }
        ],
    }


def warm_up(site: Site, worker: EdgeProcess, wait_for: WaitFor) -> None:
    """What every worker takes once is taken before anything is measured."""
    wait_for(worker.online, "the worker is online", 60)
    for number in range(WARM_UP):
        one = Sample(f"w-{number}", time.time(), "image", None, None, picture()).encode()
        assert site.devices.publish("dewpoint/home/in/cam", one, timeout_s=10)
        wait_for(lambda: any(one.id == f"w-{number}" for one in site.heard), "its label", 30)  # noqa: B023


def test_a_live_input_drops_its_oldest_and_answers_the_newest_soon(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, tmp_path / "spool", input_of("drop_oldest"), code=slow(tmp_path / "over")) as worker:
        warm_up(site, worker, wait_for)
        growth = flood(site, worker, qos=0)
        wait_for(lambda: any(one.id == f"f-{COUNT - 1}" for one in site.heard), "the newest is answered", 30)
        answered = [one for one in site.heard if one.id.startswith("f-")]
        ages_s = [one.decided_at - one.captured_at for one in answered]
        # All of them would take ten times the flood's length, and the last would wait for most of it. A machine that is
        # held up for a while makes single ones late.
        assert statistics.median(ages_s) < SECONDS
        assert max(ages_s) < 5 * SECONDS
        assert len(answered) < COUNT / 2
        wait_for(
            lambda: worker.count("drops_total", reason="overload") >= COUNT - len(answered) - QUEUE_MAX,
            "what was dropped is counted",
        )
        assert growth < GROWTH_BYTES_MAX
        assert worker.online()


def test_an_input_that_holds_leaves_the_flood_to_the_broker_and_answers_it_all(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, tmp_path / "spool", input_of("hold"), code=slow(tmp_path / "over")) as worker:
        warm_up(site, worker, wait_for)
        growth = flood(site, worker, qos=1)
        held = sum(one.id.startswith("f-") for one in site.heard)
        assert held < COUNT / 2, "that was no flood"
        assert growth < GROWTH_BYTES_MAX
        assert worker.online()
        (tmp_path / "over").touch()
        wait_for(lambda: len(site.finals()) == COUNT + WARM_UP, "every sample's label", 170)
