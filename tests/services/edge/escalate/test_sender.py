"""The way up through a stream that is full, old, gone or read-only, and the order in which samples are sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.messages import Escalation
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_RISE, Site, sample, says


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[Any]:
    """What lies in Redis, seen without our code."""
    with redis.Redis(redis_server.host, redis_server.port, protocol=2) as client:
        yield client


def publish_until_they_wait(site: Site, wait_for: WaitFor, count: int) -> None:
    """So many hard samples, s-0 and on, are in the stream."""
    site.publish("cam", *(sample(number) for number in range(count)))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == count, "the escalations", 60)


def stream(site: Site) -> str:
    """Key of the stream that the edge sends into."""
    return site.edge.escalations.streams.current.streams[0].features


def test_after_a_loss_samples_are_sent_again_at_a_pace_and_fresh_ones_go_before_them(
    site: Site, raw: Any, wait_for: WaitFor
) -> None:
    lost, per_s = 150, 50
    site.start_edge(thresholds=ALL_RISE, resend_per_s=per_s)
    publish_until_they_wait(site, wait_for, lost)
    raw.flushall()
    site.edge.escalations.look_again()  # instead of waiting for the next look
    wait_for(lambda: raw.xlen(stream(site)) > 0, "the first is sent again", 30)
    site.publish("cam", sample(lost))
    wait_for(lambda: raw.xlen(stream(site)) == lost + 1, "all are there", 60)
    entries = [
        (int(entry_id.partition(b"-")[0]), Escalation.decode(fields[b"m"]))
        for entry_id, fields in raw.xrange(stream(site))
    ]
    order = [one.id for _, one in entries]
    assert order.index(f"s-{lost}") < lost, "the fresh one did not wait for all the others"
    again = [one for _, one in entries if one.attempt == 2]
    assert [one.id for one in again] == [f"s-{number}" for number in range(lost)], "the oldest first, each once"
    seconds = (entries[-1][0] - entries[0][0]) / 1000
    assert seconds > 0.9 * (lost - per_s) / per_s, "a second's worth at once, the others at the pace"


def test_nothing_is_sent_again_while_its_entry_stands(
    site: Site, raw: Any, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.escalate.sender._RESEND_S", 0.05)
    site.start_edge(thresholds=ALL_RISE)
    publish_until_they_wait(site, wait_for, 20)

    def looks() -> int:
        return int(raw.info("commandstats")["cmdstat_evalsha"]["calls"])

    before = looks()
    wait_for(lambda: looks() > before + 40, "the rows are looked for again and again", 60)
    assert raw.xlen(stream(site)) == 20
    assert site.count("escalations_total", device="cam", again="yes") == 0
    rows = site.edge.journal.waiting(limit=100)
    assert {Escalation.decode(row.escalation).attempt for row in rows} == {1}


def test_a_stream_that_is_too_old_takes_no_more_until_it_is_younger(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, queue_age_max_s=1.0)
    site.publish("cam", sample(0))
    wait_for(lambda: site.count("queue_oldest_age_seconds") > 1.0, "its age is noticed")
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-1"].reason == "shed"
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
        wait_for(lambda: site.count("queue_oldest_age_seconds") == 0, "the stream is empty")
        site.publish("cam", sample(2))
        cloud.answer(1, says(3))
    wait_for(lambda: len(site.finals()) == 3, "all finals")
    assert site.finals()["cam", "s-2"].reason == "escalated"


def test_a_stream_that_is_too_large_takes_no_more(site: Site, raw: Any, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, queue_bytes_max=1 << 16)
    number = 0
    while not site.finals():
        assert number < 5000
        site.publish("cam", *(sample(number + offset) for offset in range(50)))
        number += 50
    wait_for(lambda: len(site.finals()) + raw.xlen(stream(site)) == number, "each is shed or waits", 30)
    assert {one.reason for one in site.finals().values()} == {"shed"}
    assert raw.memory_usage(stream(site)) < 2 << 16
    assert raw.xlen(stream(site)) > 100


@pytest.mark.parametrize(
    ("setting", "refuses", "takes"), [("maxmemory", 1, 0), ("min-replicas-to-write", 1, 0)], ids=["full", "no replica"]
)
def test_a_redis_that_refuses_writes_is_an_outage_and_costs_no_sample_its_answer(
    site: Site, raw: Any, wait_for: WaitFor, setting: str, refuses: int, takes: int
) -> None:
    """The journal has room: rows wait, and are sent once Redis takes them."""
    site.start_edge(thresholds=ALL_RISE)
    publish_until_they_wait(site, wait_for, 2)
    raw.config_set(setting, refuses)
    site.publish("cam", *(sample(number) for number in range(2, 10)))
    wait_for(lambda: site.edge.journal.counts["waiting"] == 10, "all wait")
    wait_for(lambda: not site.edge.escalations.reachable, "the refusal is noticed")
    raw.config_set(setting, takes)
    with site.cloud() as cloud:
        cloud.answer(10, says(3), timeout_s=30)
    wait_for(lambda: len(site.finals()) == 10, "all are answered", 30)
    assert {label.reason for label in site.finals().values()} == {"escalated"}


def test_what_lies_in_a_full_redis_is_answered_while_it_takes_nothing_new(
    site: Site, raw: Any, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    publish_until_they_wait(site, wait_for, 2)
    raw.config_set("maxmemory", 1)
    with site.cloud() as cloud:
        cloud.answer(2, says(3))
    wait_for(lambda: len(site.finals()) == 2, "what was in the stream is answered")
    assert {label.reason for label in site.finals().values()} == {"escalated"}


def test_while_redis_refuses_writes_the_limits_of_the_journal_still_hold(
    site: Site, raw: Any, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE, waiting_max=4)
    publish_until_they_wait(site, wait_for, 2)
    raw.config_set("maxmemory", 1)
    site.publish("cam", *(sample(number) for number in range(2, 10)))
    wait_for(lambda: len(site.finals()) == 6, "the surest of ten are shed")
    assert {label.reason for label in site.finals().values()} == {"shed"}
    assert site.edge.journal.counts["waiting"] == 4


def test_no_sample_is_shed_whose_entry_stands(site: Site, raw: Any, wait_for: WaitFor) -> None:
    """As where Redis refused in the middle of a batch, and is at its limits when it takes writes again."""
    site.start_edge(thresholds=ALL_RISE)
    publish_until_they_wait(site, wait_for, 1)
    site.edge.escalations._sender._shed([("cam", "s-0")])
    assert site.edge.journal.counts["waiting"] == 1


def test_a_redis_that_only_reads_counts_as_away(site: Site, raw: Any, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=2.0)
    wait_for(lambda: site.edge.escalations.reachable and site.count("redis_reachable") == 1, "Redis is reached")
    raw.replicaof("127.0.0.1", 1)
    site.publish("cam", sample(0))
    wait_for(site.finals, "the final label", 30)
    assert site.finals()["cam", "s-0"].reason == "offline"
    assert not site.edge.escalations.reachable
    raw.replicaof("no", "one")
    wait_for(lambda: site.edge.escalations.reachable, "it is reached again", 30)


def test_a_final_sample_is_not_sent(site: Site, redis_server: RedisServer, raw: Any, wait_for: WaitFor) -> None:
    """It was shed for want of room in the journal while Redis was away."""
    redis_server.stop()
    site.start_edge(thresholds=ALL_RISE, waiting_max=2)
    site.publish("cam", *(sample(number) for number in range(5)))
    wait_for(lambda: len(site.finals()) == 3, "three are shed")
    redis_server.start()
    wait_for(lambda: raw.xlen(stream(site)) == 2, "the others are sent", 30)
    sent = {Escalation.decode(fields[b"m"]).id for _, fields in raw.xrange(stream(site))}
    assert sent.isdisjoint(sample_id for _, sample_id in site.finals())
