"""Two workers under one name: both notice it and say so, and an ordinary restart does not look like it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.messages import Status, status_topic
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import EdgeProcess, edge_process, states
from tests.services.edge.site import ALL_LEAVE, SITE, WORKER, Site, sample

#: A quiet time of 6 s: longer than a process takes for anything here.
SLOWER = {"environment": {"DEWPOINT_MQTT__BACKOFF_MAX_S": "2"}}
both_protocols = pytest.mark.parametrize("mqtt_broker", ["mosquitto", "nats"], indirect=True)


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def says_so(worker: EdgeProcess) -> bool:
    """Whether it is not ready because of another of its name."""
    status, reasons = worker.check("/readyz")
    return status == 503 and any(f"another client uses the name of worker {WORKER}" in reason for reason in reasons)


def lines(worker: EdgeProcess) -> list[str]:
    return [line for line in worker.log.splitlines() if "edge_name_in_use" in line]


@both_protocols
def test_two_workers_of_one_name_notice_it_and_the_one_that_is_left_goes_on(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, tmp_path / "first", **SLOWER) as first:
        wait_for(first.online, "the first is online", 60)
        with edge_process(site, tmp_path / "second", **SLOWER) as second:
            wait_for(lambda: says_so(first), "the first says so", 60)
            wait_for(lambda: says_so(second), "the second says so", 60)
            wait_for(lambda: first.count("mqtt_session_taken_over_total") >= 2, "it is counted", 60)
            wait_for(lambda: second.count("mqtt_session_taken_over_total") >= 2, "it is counted there too", 60)
            for worker in (first, second):
                line = lines(worker)[0]
                assert WORKER in line
                assert "a name and a spool of its own" in line
                assert "--adopt" in line
        wait_for(first.online, "it is quiet, and the first is ready", 60)
        site.publish("cam", sample(1))
        wait_for(lambda: site.heard, "a label")


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_a_copy_of_a_spool_is_noticed_like_any_other(site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    with edge_process(site, tmp_path / "first", {"thresholds": ALL_LEAVE}, **SLOWER) as first:
        wait_for(first.online, "the first is online", 60)
        site.publish("cam", sample(1))
        wait_for(lambda: site.heard, "a label")
        shutil.copytree(tmp_path / "first", tmp_path / "copy")
        with edge_process(site, tmp_path / "copy", {"thresholds": ALL_LEAVE}, **SLOWER) as second:
            wait_for(lambda: says_so(first), "the first says so", 60)
            wait_for(lambda: says_so(second), "the second says so", 60)


@both_protocols
def test_a_restart_after_a_kill_is_no_other_worker(site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    for number in range(1, 4):
        with edge_process(site, tmp_path / "spool", **SLOWER) as worker:
            wait_for(worker.online, "it is online", 60)
            wait_for(lambda: states(site)[-1:] == ["online"], "its status")
            site.publish("cam", sample(number))
            wait_for(lambda number=number: len({label.id for label in site.heard}) == number, "a label")
            wait_for(lambda: worker.count("mqtt_connections_total") == 1, "the gauges' turn")
            assert worker.online()
            assert worker.count("mqtt_session_taken_over_total") == 0
            assert lines(worker) == []


def test_a_status_that_another_process_left_is_no_sign_until_this_one_has_written(
    site: Site, wait_for: WaitFor
) -> None:
    topic = status_topic(SITE, WORKER)
    left = Status("online", WORKER, "digits@0", "numpy", None, "0123456789abcdef").encode()
    assert site.devices.publish(topic, left, retain=True)
    assert site.devices.flush(timeout_s=5)
    worker = site.start_edge()
    wait_for(lambda: states(site) == ["online", "online"], "the worker's own")
    wait_for(lambda: worker._connection._own_status_seen, "it has come back to it")
    assert worker.impediments == []
    assert site.devices.publish(topic, left, retain=True)
    wait_for(lambda: "another client uses the name" in "".join(worker.impediments), "it is noticed now")
    wait_for(lambda: site.count("mqtt_session_taken_over_total") == 1, "it is counted")
