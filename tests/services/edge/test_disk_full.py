"""A full disk under the spool: nothing is acknowledged that is not stored, the worker says so, waits, and goes on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.edge.errors import StorageError
from services.edge.journal.records import Batch
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import EdgeProcess, edge_process
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, sample, says

pytestmark = pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "dewpoint", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}; run as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return filler


def stored(worker: EdgeProcess) -> float:
    return sum(worker.count("journal_rows", state=state) for state in ("waiting", "final", "done"))


def publish_until_full(site: Site, worker: EdgeProcess, wait_for: WaitFor, first: int) -> int:
    """Publish until the worker says that it can store no more; the number of the next sample."""
    number = first
    while not worker.check("/readyz")[1]:
        assert number < 5000, "the disk never was too full"
        site.publish("cam", *map(sample, range(number, number + 50)))
        number += 50
        wait_for(
            lambda: worker.count("messages_acknowledged_total") == number or worker.check("/readyz")[1],  # noqa: B023
            "the samples are stored, or cannot be",
            30,
        )
    return number


def test_samples_are_held_back_while_the_disk_is_full_and_none_is_lost(
    site: Site, disk: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, disk / "spool", {"thresholds": ALL_RISE}) as worker, site.cloud() as cloud:
        wait_for(worker.online, "the worker is online", 60)
        site.publish("cam", *map(sample, range(10)))
        wait_for(lambda: worker.count("escalations_total", device="cam", again="no") == 10, "the escalations")
        filler = fill(disk)
        count = publish_until_full(site, worker, wait_for, 10)
        [reason] = worker.check("/readyz")[1]
        assert "nothing can be stored" in reason
        assert "full" in reason
        assert worker.check("/healthz") == (200, [])
        assert worker.count("storage_failing") == 1
        wait_for(
            lambda: worker.count("messages_acknowledged_total") == stored(worker), "what is stored is acknowledged"
        )
        assert worker.count("messages_acknowledged_total") < count
        acknowledged = int(worker.count("messages_acknowledged_total"))
        cloud.answer(acknowledged, says(3), timeout_s=60)  # these replies cannot be stored

        filler.unlink()
        wait_for(worker.online, "the worker is ready again", 60)
        cloud.answer(count - acknowledged, says(3), timeout_s=60)
        wait_for(lambda: len(site.finals()) == count, "every final", 60)
        assert {one.reason for one in site.finals().values()} == {"escalated"}
        assert sum(one.status == "final" for one in site.heard) == count
        assert worker.count("samples_received_total", device="cam") == count
        assert worker.log.count("storage_failed") == 1
        assert "Traceback" not in worker.log
        worker.stop()


def test_a_worker_that_is_killed_or_stopped_while_the_disk_is_full_loses_nothing(
    site: Site, disk: Path, wait_for: WaitFor
) -> None:
    command = ("--worker", "edge-1")
    with (
        edge_process(site, disk / "spool", {"thresholds": ALL_RISE}, arguments=command) as worker,
        site.cloud() as cloud,
    ):
        wait_for(worker.online, "the worker is online", 60)
        filler = fill(disk)
        count = publish_until_full(site, worker, wait_for, 0)
        worker.stop()
        worker.start()
        assert worker.wait() == 2, "it cannot start on a full disk, and says why"
        assert "make room on the disk of the spool" in worker.log
        filler.unlink()
        worker.start()
        cloud.answer(count, says(3), timeout_s=60)
        wait_for(lambda: len(site.finals()) == count, "every final", 60)
        assert worker.count("lone_runs_total") == 0, "a full disk is no message's fault"


def test_labels_that_were_acknowledged_while_the_disk_was_full_are_noted_as_done_afterwards(
    site: Site, disk: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, disk / "spool", {"thresholds": ALL_LEAVE}) as worker:
        wait_for(worker.online, "the worker is online", 60)
        filler = fill(disk)
        count = publish_until_full(site, worker, wait_for, 0)
        filler.unlink()
        wait_for(lambda: len(site.finals()) == count, "every final", 60)
        wait_for(lambda: worker.count("journal_rows", state="done") == count, "every row is done", 60)
        assert len(site.heard) == count
        assert worker.online()


def test_rows_that_were_to_be_marked_done_by_a_commit_that_failed_are_marked_by_the_next(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, failed = site.start_edge(thresholds=ALL_LEAVE, batch_max=1), []
    commit = site.edge.journal.commit

    def fail_once(batch: Batch) -> None:
        if batch.done and not failed:
            failed.extend(batch.done)
            raise StorageError("full")
        commit(batch)

    monkeypatch.setattr(site.edge.journal, "commit", fail_once)
    count = 0
    while not failed:
        assert count < 5000, "no commit ever had rows to mark"
        site.publish("cam", *map(sample, range(count, count + 50)))
        count += 50
    wait_for(lambda: site.edge.journal.counts["done"] == count, "every row is done", 30)
    assert len(site.heard) == count
    assert worker.impediments == []
