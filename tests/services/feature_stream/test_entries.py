"""Escalations in the stream: one entry a sample, its note, its reply, its partition."""

from __future__ import annotations

from typing import Any

import pytest

from services.feature_stream import EdgeFeatures, partition_of
from services.settings import RedisSettings
from tests.conftest import WaitFor
from tests.services.feature_stream.stream import (
    STREAM,
    B,
    MakeCloud,
    answered,
    escalation,
    nothing_left,
    replies,
)


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
    assert not edge.entries_exist([("d", "a")])[0]
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    assert edge.entries_exist([("d", "a")])[0]


def test_an_answered_entry_leaves_nothing_behind(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a"), escalation("b")])
    deliveries = cloud.read(10)
    cloud.begin_lone_run(deliveries[0])
    assert answered(cloud, deliveries) == [True, True]
    assert nothing_left(raw)
    assert [reply.id for reply in replies(edge)] == ["a", "b"]
    assert edge.entries_exist([("d", "a"), ("d", "b")]) == [False, False]


def test_a_late_answer_to_an_older_entry_keeps_the_note_of_the_newer(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    [old] = cloud.read(10)
    raw.hdel(STREAM.notes, "1:da")
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    assert answered(cloud, [old]) == [True]
    assert edge.entries_exist([("d", "a")])[0]


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


def test_a_group_made_after_the_first_entries_passes_none_over(edge: EdgeFeatures, make_cloud: MakeCloud) -> None:
    edge.escalate([escalation("a")])
    assert len(make_cloud().read(10)) == 1


def test_notes_of_entries_that_nobody_could_read_are_swept_away_and_others_stay(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    samples = [escalation(str(number)) for number in range(1500)]
    edge.escalate(samples)
    for entry_id, _ in raw.xrange(STREAM.features, count=1200):
        raw.xdel(STREAM.features, entry_id)
    raw.hset(STREAM.notes, mapping={"nonsense": "nonsense", "too large": "99999999999999999999-0"})
    cloud.sweep_notes()
    assert raw.hlen(STREAM.notes) == 300
    assert edge.entries_exist([("d", "0"), ("d", "1499")]) == [False, True]


@pytest.mark.parametrize("nonsense", ["", "nonsense", "99999999999999999999-0"])
def test_a_note_that_names_no_entry_holds_nothing_up(edge: EdgeFeatures, raw: Any, nonsense: str) -> None:
    raw.hset(STREAM.notes, "1:da", nonsense)
    assert not edge.entries_exist([("d", "a")])[0]
    assert edge.escalate([escalation("a")]) == [True]
    assert edge.entries_exist([("d", "a")])[0]
