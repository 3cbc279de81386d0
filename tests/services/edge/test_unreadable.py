"""Escalations that no cloud worker can read, not even whom to answer: real workers on both sides of a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from services.feature_stream import Stream
from services.feature_stream.keys import note
from services.messages import Escalation
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.cloud.rig import Rig
from tests.services.edge.site import ALL_RISE, Site, sample

RESEND_S = 0.2


@pytest.fixture
def site(
    mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setattr("services.edge.escalate.sender._RESEND_S", RESEND_S)
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[Any]:
    """What lies in Redis, seen without our code."""
    with redis.Redis(redis_server.host, redis_server.port, protocol=2) as client:
        yield client


@pytest.fixture
def rig(redis_server: RedisServer, wait_for: WaitFor) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(redis_server, wait_for, stack)


def stream(site: Site) -> Stream:
    return site.edge.escalations.streams.current.streams[0]


def publish(site: Site, raw: Any, wait_for: WaitFor, count: int) -> None:
    """So many hard samples, s-0 and on, are in the stream."""
    site.publish("cam", *(sample(number) for number in range(count)))
    wait_for(lambda: raw.xlen(stream(site).features) == count, "the escalations", 60)


def garble(site: Site, raw: Any, sample_id: str) -> None:
    """Let the entry of this sample be bytes that nobody can read."""
    keys, its_note = stream(site), note("cam", sample_id)
    with raw.pipeline(transaction=True) as both:
        both.xdel(keys.features, raw.hget(keys.notes, its_note))
        both.hset(keys.notes, its_note, raw.xadd(keys.features, {"m": b"\xc1"}))
        both.execute()


def test_a_sample_whose_escalation_nobody_can_read_keeps_the_edges_label_and_is_not_sent_for_ever(
    site: Site, raw: Any, rig: Rig, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    publish(site, raw, wait_for, 3)
    garble(site, raw, "s-1")
    with rig.working():
        wait_for(lambda: len(site.finals()) == 3, "all finals", 30)
    finals = site.finals()
    assert [finals["cam", f"s-{number}"].reason for number in range(3)] == ["escalated", "failed", "escalated"]
    provisional = next(one for one in site.heard if (one.id, one.status) == ("s-1", "provisional"))
    assert finals["cam", "s-1"].class_index == provisional.class_index
    assert site.count("escalations_total", device="cam", again="yes") == 0
    assert site.count("exits_total", device="cam", exit="0", reason="failed") == 1
    assert raw.xlen(stream(site).dead) == 1


def test_what_nobody_could_read_is_sent_again_where_redis_lost_the_word_of_it(
    site: Site, raw: Any, rig: Rig, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.escalate.sender._RESEND_S", 3600.0)
    site.start_edge(thresholds=ALL_RISE)
    publish(site, raw, wait_for, 1)
    garble(site, raw, "s-0")
    with rig.working():
        wait_for(lambda: raw.scard(stream(site).unread) == 1, "it is a dead letter")
        raw.flushall()
        site.edge.escalations.look_again()
        wait_for(site.finals, "the final label", 30)
    assert site.finals()["cam", "s-0"].reason == "escalated"


def test_no_sample_fails_however_often_redis_is_wiped_while_no_cloud_worker_is_there(
    site: Site, raw: Any, rig: Rig, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE, resend_per_s=1000.0)
    publish(site, raw, wait_for, 5)
    for _ in range(12):
        raw.flushall()
        wait_for(lambda: raw.xlen(stream(site).features) == 5, "all are sent again", 30)
    attempts = {Escalation.decode(fields[b"m"]).attempt for _, fields in raw.xrange(stream(site).features)}
    assert min(attempts) > 12
    assert site.finals() == {}
    with rig.working():
        wait_for(lambda: len(site.finals()) == 5, "all finals", 30)
    assert {one.reason for one in site.finals().values()} == {"escalated"}
