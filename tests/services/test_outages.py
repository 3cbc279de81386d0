"""Outages of the centre, with real worker processes: nothing is lost, nothing answered twice, all heals by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.cloud.processes import StandIns
from tests.services.edge.site import ALL_RISE, Site, sample
from tests.services.mqtt.proxy import Proxy

SAMPLES = 60
HEAL_S = 60.0


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def cloud(redis_server: RedisServer, tmp_path: Path) -> Iterator[StandIns]:
    with StandIns(redis_server.port, tmp_path) as workers:
        yield workers


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[Any]:
    """Redis, seen without our code."""
    with redis.Redis(redis_server.host, redis_server.port, protocol=2) as client:
        yield client


def publish(site: Site, first: int, count: int) -> None:
    site.publish("cam", *(sample(number) for number in range(first, first + count)))


def all_are_answered(site: Site, wait_for: WaitFor, count: int) -> None:
    """Each sample has one final label, and the cloud gave it."""
    wait_for(lambda: len(site.finals()) == count, f"{count} finals", HEAL_S)
    assert {one.reason for one in site.finals().values()} == {"escalated"}
    assert len([one for one in site.heard if one.status == "final"]) == count


def test_all_workers_are_killed_and_no_entry_is_multiplied(
    site: Site, cloud: StandIns, raw: Any, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.escalate.sender._RESEND_S", 0.1)
    site.start_edge(thresholds=ALL_RISE)
    cloud.start(2)
    publish(site, 0, SAMPLES)
    wait_for(site.finals, "the workers work", HEAL_S)
    cloud.kill()
    publish(site, SAMPLES, SAMPLES)
    wait_for(lambda: site.edge.journal.counts["waiting"] >= SAMPLES, "they wait")
    key = site.edge.escalations.streams.current.streams[0].features
    looked = raw.info("commandstats")["cmdstat_evalsha"]["calls"]
    wait_for(
        lambda: raw.info("commandstats")["cmdstat_evalsha"]["calls"] > looked + 20, "the rows are looked for", HEAL_S
    )
    assert raw.xlen(key) <= 2 * SAMPLES - len(site.finals())
    cloud.start(2)
    all_are_answered(site, wait_for, 2 * SAMPLES)
    assert site.count("escalations_total", device="cam", again="no") == 2 * SAMPLES
    assert site.count("escalations_total", device="cam", again="yes") == 0


def test_redis_is_wiped_with_connections_left_open(site: Site, cloud: StandIns, raw: Any, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    cloud.start(2)
    for round_number in range(4):
        publish(site, round_number * SAMPLES, SAMPLES)
        raw.flushall()
    all_are_answered(site, wait_for, 4 * SAMPLES)


def test_redis_is_wiped_and_all_workers_are_killed_at_the_same_time(
    site: Site, cloud: StandIns, raw: Any, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    cloud.start(2)
    publish(site, 0, SAMPLES)
    wait_for(site.finals, "the workers work", HEAL_S)
    publish(site, SAMPLES, SAMPLES)
    cloud.kill()
    raw.flushall()
    publish(site, 2 * SAMPLES, SAMPLES)
    cloud.start(2)
    all_are_answered(site, wait_for, 3 * SAMPLES)


@pytest.mark.parametrize("wipe", [False, True], ids=["with its data", "empty"])
def test_redis_is_killed_and_comes_back(
    site: Site, cloud: StandIns, redis_server: RedisServer, wait_for: WaitFor, wipe: bool
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    cloud.start(2)
    publish(site, 0, SAMPLES)
    wait_for(site.finals, "the workers work", HEAL_S)
    redis_server.kill()
    publish(site, SAMPLES, SAMPLES)
    wait_for(lambda: len({(one.device, one.id) for one in site.heard}) == 2 * SAMPLES, "the edge goes on", HEAL_S)
    if wipe:
        redis_server.wipe()
    redis_server.start()
    all_are_answered(site, wait_for, 2 * SAMPLES)


def test_a_link_to_redis_that_swallows_everything_holds_nobody_up(
    mqtt_broker: Broker, redis_server: RedisServer, cloud: StandIns, tmp_path: Path, wait_for: WaitFor
) -> None:
    with Proxy(redis_server.port) as proxy, Site(mqtt_broker, through(proxy), tmp_path) as site:
        site.start_edge(thresholds=ALL_RISE)
        cloud.start()
        publish(site, 0, SAMPLES)
        all_are_answered(site, wait_for, SAMPLES)
        proxy.deaf = True
        publish(site, SAMPLES, SAMPLES)
        wait_for(lambda: len({one.id for one in site.heard}) == 2 * SAMPLES, "the edge goes on", HEAL_S)
        wait_for(lambda: not site.edge.escalations.reachable, "the loss is noticed", HEAL_S)
        proxy.deaf = False
        all_are_answered(site, wait_for, 2 * SAMPLES)
        proxy.deaf = True
        began = time.monotonic()
        site.stop_edge()
        assert time.monotonic() - began < 60


def through(proxy: Proxy) -> Any:
    """Redis at the proxy's port."""
    return SimpleNamespace(port=proxy.port)
