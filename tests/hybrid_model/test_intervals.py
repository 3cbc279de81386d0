"""The interval of an observed share; its figures are checked with the evaluation's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.intervals import wilson_interval


@given(st.data(), st.integers(1, 10_000))
def test_the_interval_holds_what_was_observed_nought_and_all_included(data, samples):
    share = data.draw(st.integers(0, samples)) / samples
    low, high = wilson_interval(share, samples)
    assert 0 <= low <= share <= high <= 1
