"""A Redis whose clock is set forward or back: leases, ages and ids go by it, and nothing is lost or answered twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.feature_stream import EdgeFeatures
from services.servers import RedisServer
from tests.conftest import WaitFor
from tests.services.feature_stream.jumping_redis import JumpingRedis
from tests.services.feature_stream.stream import (
    LEASE_S,
    STREAM,
    MakeCloud,
    answered,
    claim_eventually,
    escalation,
    nothing_left,
    replies,
)

DAY_S = 86400


@pytest.fixture
def server(each_redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    with JumpingRedis(tmp_path / "jumping", executable=each_redis_server.executable) as jumping:
        yield jumping


def test_a_clock_set_forward_lets_leases_lapse_and_each_entry_is_answered_once(
    edge: EdgeFeatures, make_cloud: MakeCloud, server: JumpingRedis, raw: Any, wait_for: WaitFor
) -> None:
    slow, heir = make_cloud(lease_s=600), make_cloud(lease_s=600)
    edge.escalate([escalation("a")])
    held = slow.read(10)
    assert heir.claim(STREAM) is None
    server.jump(DAY_S)
    assert edge.queue().oldest_age_s >= DAY_S
    taken = claim_eventually(heir, wait_for)
    assert answered(slow, held) == [False]
    assert answered(heir, [taken]) == [True]
    assert len(replies(edge)) == 1
    assert nothing_left(raw)


def test_a_clock_set_back_keeps_no_lease_of_a_killed_worker(
    edge: EdgeFeatures, make_cloud: MakeCloud, server: JumpingRedis, raw: Any, wait_for: WaitFor
) -> None:
    killed, alive, heir = make_cloud(lease_s=2.0), make_cloud(lease_s=2.0), make_cloud(lease_s=2.0)
    edge.escalate([escalation("a")])
    killed.read(10)
    edge.escalate([escalation("b")])
    held = alive.read(10)
    server.jump(-DAY_S)
    assert edge.escalate([escalation("c")]) == [True]
    assert edge.queue().oldest_age_s == 0
    assert answered(heir, heir.read(10, block_ms=100)) == [True]
    assert heir.claim(STREAM) is None
    heir.mend_leases()

    def held_by_the_living() -> bool:
        assert alive.renew(held) == []
        delivery = heir.claim(STREAM)
        return delivery is not None and answered(heir, [delivery]) == [True]

    wait_for(held_by_the_living, "the killed worker's entry is taken over")
    assert answered(alive, held) == [True]
    assert {reply.id for reply in replies(edge)} == {"a", "b", "c"}


def test_mending_changes_no_other_lease(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor) -> None:
    holder = make_cloud()
    edge.escalate([escalation(str(number)) for number in range(3)])
    assert len(holder.read(10)) == 3

    def idle_ms() -> int:
        return min(one["time_since_delivered"] for one in raw.xpending_range(STREAM.features, "cloud", "-", "+", 3))

    wait_for(lambda: idle_ms() > LEASE_S * 1000, "the leases lapse")
    holder.mend_leases()
    assert idle_ms() > LEASE_S * 1000
