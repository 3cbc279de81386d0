"""`--adopt`: another process carries on for a worker that will not return, under its identity."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.messages import Status
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import EdgeProcess, edge_process, states
from tests.services.edge.site import ALL_RISE, SITE, Site, says
from tests.services.edge.test_worker_windows import ids, readings

SENSOR: dict[str, Any] = {
    "bundle": "har",
    "thresholds": ALL_RISE,
    "inputs": [{"topic": "dewpoint/{site}/in/{device}", "kind": "sensor", "window": {"hop": 64}}],
}


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path, name="har") as one:
        yield one


def adopter(site: Site, folder: Path, spool: Path) -> EdgeProcess:
    """A worker of another name, with another spool, that is told to adopt this one."""
    settings = {**SENSOR, "worker": "edge-9", "spool": str(folder / "own")}
    return EdgeProcess(site, spool, settings, arguments=("--adopt", str(spool)))


def refusal(*arguments: str) -> str:
    """The one line by which the command refuses."""
    result = subprocess.run(
        [sys.executable, "-m", "services.edge", *arguments], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_an_adopted_spool_goes_on_under_its_name_with_its_rows_its_windows_and_its_session(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    spool = tmp_path / "left"
    with edge_process(site, spool, {**SENSOR, "worker": "edge-7"}) as worker:
        wait_for(worker.online, "the worker is online", 60)
        site.publish("phone", *(readings(first) for first in (0, 32, 64, 96, 128)))
        wait_for(lambda: worker.count("escalations_total", device="phone", again="no") == 1, "the escalation")
        wait_for(lambda: worker.count("messages_acknowledged_total") == 5, "all readings are committed")
        worker.kill()
    site.publish("phone", readings(160))  # the broker keeps it for the session of edge-7
    with site.cloud() as cloud:
        [first] = cloud.answer(1, says(3))
        assert first.worker == "edge-7"
        heir = adopter(site, tmp_path, spool)
        heir.start()
        try:
            [second] = cloud.answer(1, says(4), timeout_s=60)
            assert second.worker == "edge-7"
            wait_for(lambda: set(site.finals()) == ids(0, 64), "the window that waited, and the one begun")
        finally:
            heir.kill()
    assert [site.finals()[key].class_index for key in sorted(ids(0)) + sorted(ids(64))] == [3, 4]
    assert {Status.decode(one).worker for one in site.statuses} == {"edge-7"}
    assert "offline" in states(site)
    assert not (tmp_path / "own").exists()


def test_the_spool_of_a_worker_that_lives_is_not_adopted(site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    with edge_process(site, tmp_path / "left", SENSOR) as worker:
        wait_for(worker.online, "the worker is online", 60)
        assert f"in use by process {worker.pid}" in refusal("--adopt", str(tmp_path / "left"))


def test_a_folder_that_no_worker_left_is_not_adopted_and_stays_as_it_is(tmp_path: Path) -> None:
    assert "no worker has left anything here" in refusal("--adopt", str(tmp_path / "left"))
    assert not (tmp_path / "left").exists()


def test_a_spool_of_another_site_or_a_later_version_is_not_adopted(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    spool = tmp_path / "left"
    with edge_process(site, spool, {**SENSOR, "worker": "edge-7"}) as worker:
        wait_for(worker.online, "the worker is online", 60)
        worker.stop()
    assert f"belongs to worker edge-7 of site {SITE}" in refusal("--adopt", str(spool))
    with sqlite3.connect(spool / "journal.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    heir = adopter(site, tmp_path, spool)
    heir.start()
    assert heir.wait() == 2
    assert "written by a later version" in heir.log


def test_an_identity_of_ones_own_beside_an_adopted_one_is_refused(tmp_path: Path) -> None:
    assert "--adopt takes name and spool" in refusal("--adopt", str(tmp_path), "--worker", "edge-9")
