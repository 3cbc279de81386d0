"""Deadlines: due in order, and forgotten with the rows that have their answer."""

from __future__ import annotations

from services.edge.upkeep.deadlines import Deadlines


def test_keys_are_due_in_the_order_of_their_deadlines() -> None:
    deadlines = Deadlines()
    deadlines.add([(("a", "late"), -1.0), (("a", "first"), -3.0), (("a", "never"), 1000.0), (("a", "next"), -2.0)])
    assert deadlines.expired(limit=2) == [("a", "first"), ("a", "next")]
    assert deadlines.expired(limit=9) == [("a", "late")]
    assert deadlines.expired(limit=9) == []


def test_keys_that_have_their_answer_are_forgotten() -> None:
    deadlines = Deadlines()
    deadlines.add([(("a", str(number)), 1000.0) for number in range(10)])
    deadlines.retain({("a", "3")})
    assert len(deadlines) == 1
