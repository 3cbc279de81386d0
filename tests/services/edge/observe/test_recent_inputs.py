"""Inputs that are kept: the newest, within bounds of number and memory."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_model.runtime import EdgeResult
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate
from services.edge.observe.recent_inputs import RecentInputs
from services.mqtt import Delivery


def candidate(number: int, *, side: int = 8) -> Candidate:
    arrival = Arrival.of(Delivery("t", b"", 1, False, False, 1, 0.0), 0, "cam")
    return Candidate(("cam", f"s-{number}"), b"", np.full((side, side, 1), number % 256, np.uint8), 0.0, arrival)


def result(count: int) -> EdgeResult:
    return EdgeResult(
        exit_index=np.array([-1 if row % 2 else 0 for row in range(count)], np.int8),
        class_index=np.arange(count, dtype=np.int32),
        confidence=np.full(count, 0.5, np.float32),
        in_domain=np.ones(count, np.bool_),
        exit_classes=np.zeros((count, 1), np.int32),
        exit_scores=np.zeros((count, 1), np.float32),
        features=[None] * count,
    )


def keep(kept: RecentInputs, *numbers: int, side: int = 8) -> None:
    samples = [candidate(number, side=side) for number in numbers]
    kept.remember(samples, result(len(samples)), [(float(number),) for number in numbers], network_id="n")


def names(kept: RecentInputs) -> list[str]:
    return [one.key[1] for one in kept.newest()]


def test_the_newest_are_kept_with_their_decision_and_the_thresholds_in_force() -> None:
    kept = RecentInputs(3, 1 << 20)
    keep(kept, 0, 1)
    keep(kept, 2, 3)
    assert names(kept) == ["s-3", "s-2", "s-1"]
    one = kept.get(("cam", "s-3"))
    assert one is not None
    assert (one.exit_index, one.class_index, one.confidence, one.thresholds) == (-1, 1, 0.5, (3.0,))
    assert (one.array == 3).all()
    assert kept.get(("cam", "s-0")) is None


def test_a_batch_larger_than_the_bound_leaves_its_end() -> None:
    kept = RecentInputs(2, 1 << 20)
    keep(kept, *range(100))
    assert names(kept) == ["s-99", "s-98"]


def test_memory_is_bounded_whatever_the_number() -> None:
    kept = RecentInputs(1000, 1 << 16)
    for number in range(50):
        keep(kept, number, side=100)
        assert kept.bytes_used <= 1 << 16
    assert len(kept) == (1 << 16) // (100 * 100 + 1024)
    keep(kept, 99, side=1000)  # too large for all of it
    assert len(kept) == 0
    assert kept.bytes_used == 0


def test_a_sample_that_came_again_is_kept_once() -> None:
    kept = RecentInputs(10, 1 << 20)
    keep(kept, 1, 2)
    before = kept.bytes_used
    keep(kept, 1)
    assert names(kept) == ["s-1", "s-2"]
    assert kept.bytes_used == before


def test_what_is_kept_does_not_hold_the_message_that_it_came_in() -> None:
    kept = RecentInputs(1, 1 << 20)
    keep(kept, 1)
    assert kept.newest()[0].array.base is None


@pytest.mark.parametrize("count", [1, 32])
def test_nothing_is_kept_unless_it_is_asked_for(count: int) -> None:
    kept = RecentInputs(0, 1 << 20)
    keep(kept, *range(count))
    assert (len(kept), kept.bytes_used) == (0, 0)
