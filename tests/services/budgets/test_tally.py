"""Counts of a while, and what follows from the latest of them."""

from __future__ import annotations

import pytest

from services.budgets import Tallies, Tally


def test_the_age_of_what_waits_follows_from_when_so_many_rose():
    tallies = Tallies()
    for rose in (10, 20, 40):
        tallies.add(Tally(seconds=1.0, samples=100, escalated=rose))

    assert tallies.age_of(0) == 0.0
    assert tallies.age_of(20) == pytest.approx(0.5)
    assert tallies.age_of(60) == pytest.approx(2.0)
    assert tallies.age_of(1000) == pytest.approx(3.0)
    assert tallies.over(2.0) == Tally(seconds=2.0, samples=200, escalated=60)
