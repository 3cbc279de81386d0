"""Leases: held, renewed, lapsed, taken over; lone runs and how they are counted."""

from __future__ import annotations

import time
from typing import Any

from services.feature_stream import EdgeFeatures, Missed
from services.messages import Escalation
from tests.conftest import WaitFor
from tests.services.feature_stream.stream import (
    RUNS,
    STREAM,
    MakeCloud,
    answer,
    answered,
    claim_eventually,
    escalation,
    nothing_left,
    replies,
)


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
    assert slow.dead_letter(lost, "error", answer=answer(lost)).missed is Missed.TAKEN
    assert answered(slow, [lost]) == [False]
    assert raw.xlen(STREAM.dead) == 0
    assert replies(edge) == []
    assert heir.renew([taken]) == []


def test_a_renewed_lease_is_not_claimed(edge: EdgeFeatures, make_cloud: MakeCloud) -> None:
    holder, other = make_cloud(lease_s=2.0), make_cloud(lease_s=2.0)
    edge.escalate([escalation("a"), escalation("b")])
    held = holder.read(10)
    until = time.monotonic() + 2.5
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


def test_an_answer_that_was_not_sent_says_why(edge: EdgeFeatures, make_cloud: MakeCloud, wait_for: WaitFor) -> None:
    slow, heir = make_cloud(), make_cloud()
    edge.escalate([escalation("a")])
    [delivery] = slow.read(10)
    taken = claim_eventually(heir, wait_for)
    assert slow.answer([answer(delivery)]) == [Missed.TAKEN]
    assert answered(heir, [taken]) == [True]
    assert heir.answer([answer(taken)]) == [Missed.GONE], "the same answer again, as after a broken connection"
    assert len(replies(edge)) == 1


def test_a_lone_run_whose_start_is_told_twice_counts_once(edge: EdgeFeatures, make_cloud: MakeCloud) -> None:
    cloud = make_cloud(lease_s=60)
    edge.escalate([escalation("a")])
    [delivery] = cloud.read(10)
    first, again = cloud.begin_lone_run(delivery), cloud.begin_lone_run(delivery)
    assert first is not None
    assert again is not None
    assert len(first.history) == len(again.history) == 1
    second = cloud.begin_lone_run(again)
    assert second is not None
    assert len(second.history) == 2
