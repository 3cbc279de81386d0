"""The feature stream against real Redis, the oldest supported version and the system's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import redis

from services.feature_stream import (
    Answer,
    CloudFeatures,
    Delivery,
    EdgeFeatures,
    ReplyEntry,
    Stream,
    StreamFull,
    StreamUnavailable,
    partition_of,
)
from services.messages import Escalation, MessageError, Reply
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.conftest import WaitFor

B = "0123456789ab"
STREAM = Stream(B, 0)
LEASE_S = 0.2
RUNS = 3

MakeCloud = Callable[..., CloudFeatures]


@pytest.fixture
def server(each_redis_server: RedisServer) -> RedisServer:
    return each_redis_server


@pytest.fixture
def settings(server: RedisServer) -> RedisSettings:
    return RedisSettings(host=server.host, port=server.port, timeout_s=2.0)


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Any]:
    """What lies in Redis, seen without our code."""
    with redis.Redis(server.host, server.port, protocol=2) as client:
        yield client


@pytest.fixture
def edge(settings: RedisSettings) -> Iterator[EdgeFeatures]:
    features = EdgeFeatures(settings, network_id=B, partitions=1, site="s", worker="w")
    yield features
    features.close()


@pytest.fixture
def make_cloud(settings: RedisSettings) -> Iterator[MakeCloud]:
    made: list[CloudFeatures] = []

    def make(lease_s: float = LEASE_S, streams: tuple[Stream, ...] = (STREAM,)) -> CloudFeatures:
        features = CloudFeatures(settings, consumer=f"c-{uuid.uuid4()}", lease_s=lease_s, max_deliveries=RUNS)
        features.serve(streams)
        made.append(features)
        return features

    yield make
    for features in made:
        features.close()


def escalation(sample_id: str, *, device: str = "d", attempt: int = 1) -> Escalation:
    return Escalation(sample_id, "s", "w", device, B, attempt, ((1, 0.5),), b"features", 1e9)


def answer(delivery: Delivery, class_index: int = 7) -> Answer:
    assert delivery.payload is not None
    sample = Escalation.decode(delivery.payload)
    return Answer(
        delivery, sample.site, sample.worker, Reply(sample.device, sample.id, sample.attempt, class_index, 0.9, None)
    )


def claim_eventually(cloud: CloudFeatures, wait_for: WaitFor) -> Delivery:
    found: list[Delivery] = []

    def claimed() -> bool:
        delivery = cloud.claim(STREAM)
        if delivery is not None:
            found.append(delivery)
        return bool(found)

    wait_for(claimed, "a lapsed lease is claimed")
    return found[0]


def answered(cloud: CloudFeatures, deliveries: list[Delivery]) -> list[bool]:
    return [age_s is not None for age_s in cloud.answer([answer(delivery) for delivery in deliveries])]


def replies(edge: EdgeFeatures) -> list[Reply]:
    read = [entry.reply for entry in edge.read_replies()]
    return [reply for reply in read if isinstance(reply, Reply)]


def nothing_left(raw: Any) -> bool:
    pending = raw.xpending(STREAM.features, "cloud")["pending"]
    return not (raw.xlen(STREAM.features) or raw.hlen(STREAM.notes) or raw.hlen(STREAM.runs) or pending)


def test_keys_carry_the_network_and_partition_in_literal_braces() -> None:
    assert STREAM.features == "dewpoint:{0123456789ab.0}:features"
    assert STREAM.replies("s", "w") == "dewpoint:{0123456789ab.0}:replies:s:w"
    assert STREAM.dead == "dewpoint:{0123456789ab.0}:dead"


def test_escalating_again_adds_nothing_while_the_entry_stands(edge: EdgeFeatures, raw: Any) -> None:
    assert edge.escalate([escalation("a"), escalation("b")]) == [True, True]
    assert edge.escalate([escalation("a", attempt=2), escalation("c")]) == [False, True]
    assert raw.xlen(STREAM.features) == 3


def test_one_device_cannot_take_the_note_of_another(edge: EdgeFeatures) -> None:
    assert edge.escalate([escalation("bc", device="a"), escalation("c", device="ab")]) == [True, True]


def test_a_sample_is_escalated_again_once_its_entry_is_gone(edge: EdgeFeatures, raw: Any) -> None:
    edge.escalate([escalation("a")])
    [(entry_id, _)] = raw.xrange(STREAM.features)
    raw.xdel(STREAM.features, entry_id)
    assert not edge.entry_exists("d", "a")
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    assert edge.entry_exists("d", "a")


def test_an_answered_entry_leaves_nothing_behind(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a"), escalation("b")])
    deliveries = cloud.read(10)
    cloud.begin_lone_run(deliveries[0])
    assert answered(cloud, deliveries) == [True, True]
    assert nothing_left(raw)
    assert [reply.id for reply in replies(edge)] == ["a", "b"]
    assert edge.entries_exist([("d", "a"), ("d", "b")]) == [False, False]


def test_replies_are_read_again_until_they_are_deleted(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    answered(cloud, cloud.read(10))
    assert edge.read_replies(block_ms=50) == edge.read_replies(block_ms=50)
    edge.delete_replies(edge.read_replies())
    assert edge.read_replies(block_ms=50) == []
    assert raw.xlen(STREAM.replies("s", "w")) == 0


def test_a_reply_that_cannot_be_decoded_is_told_and_can_be_deleted(edge: EdgeFeatures, raw: Any) -> None:
    raw.xadd(STREAM.replies("s", "w"), {"m": b"\xc1"})
    raw.xadd(STREAM.replies("s", "w"), {"other": b"x"})
    entries: list[ReplyEntry] = edge.read_replies()
    assert [type(entry.reply) for entry in entries] == [MessageError, MessageError]
    edge.delete_replies(entries)
    assert edge.read_replies() == []


def test_a_late_answer_to_an_older_entry_keeps_the_note_of_the_newer(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    [old] = cloud.read(10)
    raw.hdel(STREAM.notes, "1:da")
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    assert answered(cloud, [old]) == [True]
    assert edge.entry_exists("d", "a")


def test_a_killed_consumers_lease_is_taken_over_and_answered_once(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    killed, heir = make_cloud(), make_cloud()
    edge.escalate([escalation("a")])
    [lost] = killed.read(10)
    assert heir.read(10) == []
    taken = claim_eventually(heir, wait_for)
    assert taken.entry_id == lost.entry_id
    assert taken.payload == lost.payload
    assert answered(heir, [taken]) == [True]
    assert answered(killed, [lost]) == [False]
    assert len(replies(edge)) == 1
    assert nothing_left(raw)


def test_a_worker_that_lost_its_lease_is_refused_everything(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    slow, heir = make_cloud(), make_cloud()
    edge.escalate([escalation("a")])
    [lost] = slow.read(10)
    taken = claim_eventually(heir, wait_for)
    assert slow.renew([lost]) == [lost]
    assert slow.begin_lone_run(lost) is None
    assert not slow.give_up(lost, "error", pause_s=0)
    assert not slow.dead_letter(lost, "error", answer=answer(lost))
    assert answered(slow, [lost]) == [False]
    assert raw.xlen(STREAM.dead) == 0
    assert replies(edge) == []
    assert heir.renew([taken]) == []


def test_a_renewed_lease_is_not_claimed(edge: EdgeFeatures, make_cloud: MakeCloud) -> None:
    holder, other = make_cloud(lease_s=0.4), make_cloud(lease_s=0.4)
    edge.escalate([escalation("a"), escalation("b")])
    held = holder.read(10)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert holder.renew(held) == []
        assert other.claim(STREAM) is None
    assert answered(holder, held) == [True, True]


def test_three_killed_workers_that_had_merely_claimed_an_entry_do_not_exhaust_it(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a")])
    make_cloud().read(10)
    [(entry_id, _)] = raw.xrange(STREAM.features)
    for killed in ("k1", "k2", "k3", "k4"):
        raw.xclaim(STREAM.features, "cloud", killed, 0, [entry_id])
    assert raw.xpending_range(STREAM.features, "cloud", "-", "+", 1)[0]["times_delivered"] > RUNS
    taken = claim_eventually(make_cloud(), wait_for)
    assert not taken.exhausted
    assert len(taken.history) == 1


def test_an_entry_whose_lone_runs_are_used_up_goes_to_the_dead_letters_with_its_history(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a")])
    make_cloud().read(10)
    for run in range(1, RUNS + 1):
        worker = make_cloud()
        taken = claim_eventually(worker, wait_for)
        assert (len(taken.history), taken.exhausted, taken.redelivered) == (run, False, True)
        if run == 2:
            assert worker.give_up(taken, "ValueError: two\nlines", pause_s=0)
    last = make_cloud()
    taken = claim_eventually(last, wait_for)
    assert taken.exhausted
    assert len(taken.history) == RUNS
    assert taken.payload is not None
    sample = Escalation.decode(taken.payload)
    reply = Reply(sample.device, sample.id, sample.attempt, None, None, "three times")
    assert last.dead_letter(taken, "three times", answer=Answer(taken, sample.site, sample.worker, reply))

    assert nothing_left(raw)
    assert [reply.error for reply in replies(edge)] == ["three times"]
    [(_, fields)] = raw.xrange(STREAM.dead)
    letter = msgpack.unpackb(fields[b"m"])
    assert letter["payload"] == taken.payload
    assert letter["error"] == "three times"
    assert letter["worker"] == last.consumer
    assert len(letter["history"]) == RUNS
    assert letter["history"][1].endswith(": ValueError: two lines")


def test_a_failed_run_is_claimed_again_after_its_pause(
    edge: EdgeFeatures, make_cloud: MakeCloud, wait_for: WaitFor
) -> None:
    worker = make_cloud(lease_s=60)
    edge.escalate([escalation("a")])
    [delivery] = worker.read(10)
    running = worker.begin_lone_run(delivery)
    assert running is not None
    assert len(running.history) == 1
    assert worker.claim(STREAM) is None
    assert worker.give_up(running, "error", pause_s=0.1)
    assert len(claim_eventually(worker, wait_for).history) == 2


def test_an_entry_that_cannot_be_read_goes_to_the_dead_letters_without_a_reply(make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    raw.xadd(STREAM.features, {"m": b"\xc1"})
    raw.xadd(STREAM.features, {"other": b"x"})
    malformed, other = cloud.read(10)
    assert (malformed.payload, other.payload) == (b"\xc1", None)
    assert cloud.dead_letter(malformed, "not_msgpack")
    assert cloud.dead_letter(other, "missing_field")
    assert raw.xlen(STREAM.dead) == 2
    assert nothing_left(raw)


def test_deleted_entries_are_dropped_from_the_claims(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a"), escalation("b"), escalation("c")])
    make_cloud().read(10)
    (first, _), (second, _), _ = raw.xrange(STREAM.features)
    raw.xdel(STREAM.features, first, second)
    heir = make_cloud()
    taken = claim_eventually(heir, wait_for)
    assert taken.payload is not None
    assert Escalation.decode(taken.payload).id == "c"
    assert raw.xpending(STREAM.features, "cloud")["pending"] == 1


def test_a_claim_that_finds_only_deleted_entries_is_empty(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a")])
    make_cloud().read(10)
    raw.xdel(STREAM.features, raw.xrange(STREAM.features)[0][0])
    heir = make_cloud()

    def dropped() -> bool:
        assert heir.claim(STREAM) is None
        return bool(raw.xpending(STREAM.features, "cloud")["pending"] == 0)

    wait_for(dropped, "the deleted entry is dropped")


def test_lapsed_leases_are_claimed_one_after_the_other_from_a_kept_cursor(
    edge: EdgeFeatures, make_cloud: MakeCloud, wait_for: WaitFor
) -> None:
    edge.escalate([escalation(str(number)) for number in range(5)])
    make_cloud().read(10)
    heir = make_cloud()
    claimed = [claim_eventually(heir, wait_for) for _ in range(5)]
    assert answered(heir, claimed) == [True] * 5
    assert heir.claim(STREAM) is None


def test_a_wipe_with_open_connections_is_healed(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation("a")])
    [held] = cloud.read(10)
    raw.flushall()
    assert cloud.renew([held]) == [held]
    assert answered(cloud, [held]) == [False]
    assert cloud.claim(STREAM) is None
    assert not edge.entry_exists("d", "a")
    assert cloud.registered() == frozenset()
    edge.register()
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    raw.script_flush()
    [again] = cloud.read(10)
    assert answered(cloud, [again]) == [True]
    assert [reply.attempt for reply in replies(edge)] == [2]


def test_a_group_made_after_the_first_entries_passes_none_over(edge: EdgeFeatures, make_cloud: MakeCloud) -> None:
    edge.escalate([escalation("a")])
    assert len(make_cloud().read(10)) == 1


def test_edges_enter_their_streams_and_those_that_rows_still_wait_for(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    raw.sadd("dewpoint:registry", "not a stream")
    edge.register([("ba9876543210", 2)])
    older = {Stream("ba9876543210", 0), Stream("ba9876543210", 1)}
    assert make_cloud(streams=()).registered() == {STREAM} | older


def test_devices_are_spread_over_partitions_and_come_back_by_each(
    settings: RedisSettings, make_cloud: MakeCloud
) -> None:
    edge = EdgeFeatures(settings, network_id=B, partitions=4, site="s", worker="w")
    devices = [f"device-{number}" for number in range(32)]
    samples = [escalation("a", device=device) for device in devices]
    assert edge.escalate(samples) == [True] * 32
    assert edge.entries_exist([(device, "a") for device in devices]) == [True] * 32
    assert edge.queue().length == 32
    cloud = make_cloud(streams=edge.streams)
    deliveries = cloud.read(100)
    assert {delivery.stream.partition for delivery in deliveries} == {0, 1, 2, 3}
    assert all(answered(cloud, deliveries))
    assert sorted(reply.device for reply in replies(edge)) == sorted(devices)
    edge.delete_replies(edge.read_replies())
    assert edge.read_replies() == []
    edge.close()


def test_a_device_keeps_its_partition_in_every_version() -> None:
    assert [partition_of(device, 8) for device in ("camera-1", "camera-2", "Gerät")] == [4, 6, 4]


def test_the_queue_tells_its_length_and_the_age_of_its_oldest_entry(
    edge: EdgeFeatures, raw: Any, wait_for: WaitFor
) -> None:
    empty = edge.queue()
    assert (empty.length, empty.oldest_age_s, empty.bytes) == (0, 0.0, 0)
    edge.escalate([escalation("a"), escalation("b")])
    wait_for(lambda: edge.queue().oldest_age_s > 0.05, "the oldest entry ages")
    state = edge.queue()
    assert state.length == 2
    assert state.oldest_age_s < 60
    assert state.bytes is not None
    assert state.bytes > 0


def test_consumers_are_deleted_only_when_nothing_is_pending_for_them(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    busy, idle = make_cloud(), make_cloud()
    edge.escalate([escalation("a")])
    busy.read(10)
    for consumer in (idle.consumer, "killed"):
        raw.xgroup_createconsumer(STREAM.features, "cloud", consumer)
    assert busy.retire(silent_s=3600, leave=True) == 0
    assert idle.retire(silent_s=3600, leave=True) == 1
    assert busy.retire(silent_s=0) == 1
    assert [row["name"] for row in raw.xinfo_consumers(STREAM.features, "cloud")] == [busy.consumer.encode()]


def test_a_full_redis_refuses_escalations_but_still_takes_answers(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a"), escalation("b")])
    first, second = cloud.read(10)
    raw.config_set("maxmemory", 1)
    with pytest.raises(StreamFull):
        edge.escalate([escalation("c")])
    assert edge.escalate([escalation("a")]) == [False]
    assert cloud.renew([first, second]) == []
    assert answered(cloud, [first]) == [True]
    assert cloud.dead_letter(second, "error", answer=answer(second))
    assert edge.queue().length == 0
    assert len(replies(edge)) == 2
    edge.delete_replies(edge.read_replies())


def test_a_redis_that_is_gone_is_unavailable_and_comes_back(
    edge: EdgeFeatures, make_cloud: MakeCloud, server: RedisServer
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    server.kill()
    for call in (edge.queue, edge.register, edge.read_replies, cloud.ensure_groups, lambda: cloud.read(1)):
        with pytest.raises(StreamUnavailable):
            call()
    with pytest.raises(StreamUnavailable):
        edge.escalate([escalation("b")])
    server.start()
    assert edge.escalate([escalation("a"), escalation("b")]) == [False, True]
    assert len(cloud.read(10)) == 2


def test_a_silent_redis_is_unavailable_within_the_timeout(server: RedisServer, raw: Any) -> None:
    quick = RedisSettings(host=server.host, port=server.port, timeout_s=0.3)
    edge = EdgeFeatures(quick, network_id=B, partitions=1, site="s", worker="w")
    edge.ping()
    raw.client_pause(1500)
    began = time.monotonic()
    with pytest.raises(StreamUnavailable, match=r"redis at 127\.0\.0\.1"):
        edge.escalate([escalation("a")])
    assert time.monotonic() - began < 1.2
    edge.close()


def test_the_password_is_read_from_its_file(server: RedisServer, raw: Any, tmp_path: Path) -> None:
    raw.config_set("requirepass", "secret")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("secret\n")
    wrong.write_text("guess\n")
    for password_file in (None, wrong):
        stranger = EdgeFeatures(
            RedisSettings(port=server.port, password_file=password_file), network_id=B, site="s", worker="w"
        )
        with pytest.raises(StreamUnavailable) as refusal:
            stranger.ping()
        assert "guess" not in str(refusal.value)
        stranger.close()
    known = EdgeFeatures(RedisSettings(port=server.port, password_file=right), network_id=B, site="s", worker="w")
    known.ping()
    known.close()


def test_a_read_only_replica_is_unavailable(edge: EdgeFeatures, raw: Any) -> None:
    raw.replicaof("127.0.0.1", 1)
    with pytest.raises(StreamUnavailable):
        edge.escalate([escalation("a")])


def test_waiting_for_replies_ends_well_before_the_sockets_timeout(edge: EdgeFeatures) -> None:
    began = time.monotonic()
    assert edge.read_replies(block_ms=60_000) == []
    assert time.monotonic() - began < 1.9
