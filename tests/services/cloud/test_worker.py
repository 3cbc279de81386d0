"""The cloud worker against real Redis: what it answers, and what it gives up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgpack
import pytest

from hybrid_model.cut import CutError
from services.metrics import CloudMetrics
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import FINE, NOT_FINITE, PADDED, POISON, B, StandIn, escalation


def test_every_sample_is_answered_with_its_own_class(rig: Rig) -> None:
    rig.send(*(escalation(str(number), FINE, number % 10) for number in range(50)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(50)
    assert {int(name): reply.class_index for name, reply in replies.items()} == {n: n % 10 for n in range(50)}
    assert rig.nothing_left()
    assert value(metrics, "answered_total", network=B, outcome="label") == 50
    assert value(metrics, "entries_read_total", network=B) == 50
    assert value(metrics, "wait_seconds_count") == 50
    assert value(metrics, "energy_joules_total") > 0


def test_batches_fill_up_while_they_linger(rig: Rig) -> None:
    network = StandIn()
    with rig.working(network, linger_ms=5000, batch_max=4):
        for number in range(4):
            rig.send(escalation(str(number)))
        rig.replies(4)
    assert network.batches == [4]


def test_a_network_registered_later_is_served(rig: Rig) -> None:
    with rig.working() as worker:
        rig.wait_for(lambda: worker.ready, "the worker reaches Redis")
        rig.send(escalation("a"))
        rig.replies(1)


@pytest.mark.parametrize("kind", [POISON, NOT_FINITE])
def test_poison_goes_to_the_dead_letters_and_takes_no_neighbour_along(rig: Rig, kind: int) -> None:
    rig.send(*(escalation(str(number), kind if number == 5 else FINE, 3) for number in range(16)))
    metrics = CloudMetrics()
    network = StandIn()
    with rig.working(network, metrics):
        replies = rig.replies(16)
    assert {name for name, reply in replies.items() if reply.class_index != 3} == {"5"}
    assert replies["5"].error
    [letter] = rig.dead()
    assert len(letter["history"]) == 3
    assert rig.nothing_left()
    assert value(metrics, "dead_lettered_total", reason="exhausted") == 1
    assert value(metrics, "answered_total", network=B, outcome="error") == 1
    assert max(network.batches) == 16


def test_features_that_are_no_features_are_not_run_again(rig: Rig) -> None:
    rig.send(escalation("short", features=b"\0"), escalation("padded", PADDED), escalation("fine", FINE, 1))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(3)
    assert (replies["fine"].class_index, replies["short"].class_index, replies["padded"].class_index) == (1, None, None)
    assert value(metrics, "dead_lettered_total", reason="wrong_features") == 2
    assert [letter["history"] for letter in rig.dead()] == [[], []]


def test_malformed_entries_go_to_the_dead_letters_and_are_answered_where_the_head_can_be_read(rig: Rig) -> None:
    rig.send(escalation("first"))
    headed = msgpack.packb({"v": 9, "site": "s", "worker": "w", "device": "d", "id": "headed", "attempt": 2})
    for payload in (b"\xc1\xff", b"", msgpack.packb([1, 2]), headed):
        rig.raw.xadd(STREAM.features, {"m": payload})
    rig.raw.xadd(STREAM.features, {"other": b"x"})
    rig.send(escalation("last"), escalation("stray", b="000000000000"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(4)
        rig.wait_for(rig.nothing_left, "the stream drains")
    assert replies["first"].class_index == replies["last"].class_index == 0
    assert "wrong_version" in (replies["headed"].error or "")
    assert "wrong_network" in (replies["stray"].error or "")
    assert replies["headed"].attempt == 2
    assert len(rig.dead()) == 6
    assert value(metrics, "drops_total", reason="not_msgpack") == 3
    assert value(metrics, "drops_total", reason="missing_field") == 1


def test_an_error_of_any_length_is_told_within_bounds(rig: Rig) -> None:
    class Verbose(StandIn):
        def infer(self, features: Sequence[bytes], /) -> NoReturn:
            raise CutError("long \udcff and\n" + "longer " * 20_000)

    rig.send(escalation("a"))
    with rig.working(Verbose()):
        replies = rig.replies(1)
    assert (replies["a"].error or "").startswith("long ? and longer longer")
    assert len(replies["a"].error or "") < 1000
    [letter] = rig.dead()
    assert letter["error"] == replies["a"].error


def test_dead_letters_beyond_the_limit_are_counted(rig: Rig) -> None:
    metrics = CloudMetrics()
    rig.send(*(escalation(str(number), features=b"short") for number in range(5)))
    with rig.working(metrics=metrics, dead_letters_max=2):
        rig.replies(5)
    assert len(rig.dead()) == 2
    assert value(metrics, "dead_letters_forgotten_total") == 3


def test_dead_letters_beyond_the_bytes_are_counted_and_those_that_lie_are_shown(rig: Rig) -> None:
    metrics = CloudMetrics()
    rig.send(*(escalation(str(number), features=bytes(30_000)) for number in range(5)))
    with rig.working(metrics=metrics, dead_letters_bytes_max=1 << 16):
        rig.replies(5)
        rig.wait_for(lambda: value(metrics, "dead_letters", network=B) == 2, "their number is shown", 30)
        assert 60_000 < value(metrics, "dead_letters_bytes", network=B) < 1 << 16
    assert len(rig.dead()) == 2
    assert value(metrics, "dead_letters_forgotten_total") == 3
