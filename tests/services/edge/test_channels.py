"""Channels by themselves: values held for a while, and values of several topics joined to rows."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.channels import (
    PENDING_MAX,
    ChannelState,
    Joined,
    JoinRule,
    TooManyPendingError,
    held,
    joined,
)
from services.edge.window import Readings

NAN = float("nan")
RULE = JoinRule(period_s=1.0, late_s=0.0, hold_s=3.0)
Value = tuple[int, float, float]


class Joining:
    """A device of two channels, and the rows that came of its values, by time."""

    def __init__(self, rule: JoinRule = RULE, *, by_arrival: bool = False) -> None:
        self.rule, self.by_arrival = rule, by_arrival
        self.state = ChannelState.empty(("a", "b"))
        self.rows: dict[float, list[float]] = {}
        self.outcomes: list[str] = []

    def take(self, *values: Value) -> Joining:
        for channel, t, value in values:
            step = joined(self.state, channel, t, value, self.rule, by_arrival=self.by_arrival)
            self.state = step.state
            self.outcomes.append(step.outcome)
            self._note(step)
        return self

    def _note(self, step: Joined) -> None:
        for run in step.runs:
            assert isinstance(run, Readings)
            assert run.mark is not None
            for number, row in enumerate(run.rows.tolist()):
                t = (run.mark + number) * self.rule.period_s
                assert t not in self.rows, "a row is made once"
                self.rows[t] = row


def rows_of(values: list[Value], rule: JoinRule, until_t: float) -> dict[float, list[float]]:
    """What the rows are by definition: of each channel the last value up to the row's time, none too old."""
    found = {}
    first = int(min(t for _, t, _ in values) // rule.period_s)
    for number in range(first, int(until_t // rule.period_s) + 1):
        row_t = number * rule.period_s
        last = [max(((t, v) for c, t, v in values if c == channel and t <= row_t), default=None) for channel in (0, 1)]
        if row_t < until_t and all(one is not None and row_t - one[0] <= rule.hold_s for one in last):
            found[row_t] = [one[1] for one in last if one is not None]
    return found


# Joined


def test_each_row_has_the_last_value_of_every_channel() -> None:
    one = Joining().take((0, 10.2, 1), (1, 10.7, 5), (0, 11.4, 2), (0, 12.1, 3), (1, 13.5, 6))
    assert one.rows == {11.0: [1, 5], 12.0: [2, 5], 13.0: [3, 5]}


def test_values_of_a_row_s_own_time_are_in_it() -> None:
    assert Joining().take((0, 10, 1), (1, 10, 5), (0, 11, 2), (1, 11, 6), (0, 12, 3)).rows == {
        10.0: [1, 5],
        11.0: [2, 6],
    }


def test_a_channel_that_is_silent_for_too_long_makes_a_gap() -> None:
    one = Joining().take((0, 10, 1), (1, 10, 5), *((0, float(t), t) for t in range(11, 20)), (1, 19.5, 6), (0, 21.5, 9))
    assert set(one.rows) == {10, 11, 12, 13, 20, 21}
    assert one.rows[20.0] == [19, 6]


def test_days_of_silence_make_one_gap_and_no_row() -> None:
    one = Joining().take((0, 10, 1), (1, 10, 5), (0, 1e6 + 0.5, 2), (1, 1e6 + 0.6, 6), (0, 1e6 + 1.5, 3))
    assert set(one.rows) == {10, 11, 12, 13, 1e6 + 1}


def test_values_out_of_order_are_in_their_row_if_it_waits_for_them() -> None:
    values = [(0, 10.1, 1), (1, 10.9, 5), (0, 11.9, 3), (0, 11.2, 2), (1, 10.5, 4), (1, 13.5, 6), (0, 15.0, 7)]
    waiting = Joining(JoinRule(1.0, 1.5, 3.0)).take(*values)
    assert waiting.outcomes == ["taken"] * 7
    assert waiting.rows == {11.0: [1, 5], 12.0: [3, 5], 13.0: [3, 5]}


def test_a_value_that_is_too_late_changes_no_row_that_is_made() -> None:
    one = Joining().take((0, 10, 1), (1, 10, 5), (0, 12.5, 2))
    made = dict(one.rows)
    assert set(made) == {10, 11, 12}
    one.take((1, 11.5, 6))  # newer than what is held: rows to come have it
    one.take((1, 10.5, 9))  # older: of no use any more
    assert one.outcomes[-2:] == ["taken", "late"]
    one.take((0, 13.5, 3))
    assert {t: row for t, row in one.rows.items() if t <= 12} == made
    assert one.rows[13.0] == [2, 6]


def test_a_value_that_comes_again_is_known() -> None:
    values = [(0, 10.0, 1.0), (1, 10.0, 5.0), (0, 11.0, 2.0), (1, 11.5, 6.0)]
    one = Joining().take(*values)
    rows, state = dict(one.rows), one.state
    one.take(values[3], values[2], values[1])
    assert one.outcomes[-3:] == ["known"] * 3
    assert (one.rows, one.state) == (rows, state)


def test_times_of_arrival_never_go_back() -> None:
    one = Joining(by_arrival=True).take((0, 10.5, 1), (1, 10.6, 5), (0, 9.0, 2), (0, 11.5, 3))
    assert one.outcomes == ["taken"] * 4
    assert one.rows == {11.0: [2, 5]}


def test_what_waits_for_its_row_has_a_bound() -> None:
    one = Joining(JoinRule(1.0, 1e5, 1.0))
    one.take(*((0, 10 + 0.01 * n, n) for n in range(PENDING_MAX)))
    before = one.state
    with pytest.raises(TooManyPendingError):
        one.take((0, 9.0, 1))
    assert one.state is before


values_of_two = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 400).map(lambda n: n / 8), st.integers(0, 99).map(float)),
    min_size=1,
    max_size=40,
    unique_by=lambda one: one[:2],
)
rules = st.builds(
    JoinRule,
    period_s=st.sampled_from([0.5, 1.0, 2.5]),
    late_s=st.sampled_from([0.0, 1.0, 5.0]),
    hold_s=st.sampled_from([0.5, 2.0, 50.0]),
)


@given(values_of_two, rules, st.randoms(use_true_random=False))
def test_rows_are_what_they_are_by_definition_in_whatever_order_values_come_in_time(
    values: list[Value], rule: JoinRule, shuffle: random.Random
) -> None:
    """Each value may come up to `late_s` after a later one."""
    order = sorted(values, key=lambda one: (one[1] + shuffle.uniform(0, rule.late_s), one[1]))
    one = Joining(rule).take(*order)
    assert set(one.outcomes) == {"taken"}
    assert one.rows == rows_of(values, rule, max(t for _, t, _ in values) - rule.late_s)


@given(values_of_two, rules)
def test_any_order_makes_each_row_once_and_no_more_than_its_bound(values: list[Value], rule: JoinRule) -> None:
    one = Joining(rule)
    for value in values:
        before = len(one.rows)
        one.take(value)
        assert len(one.rows) - before <= rule.rows_max
    assert list(one.rows) == sorted(one.rows)


@given(values_of_two, rules, st.integers(0, 40))
def test_values_that_come_again_change_nothing(values: list[Value], rule: JoinRule, at: int) -> None:
    """As after a kill: what was not acknowledged comes again behind what was."""
    once = Joining(rule).take(*values)
    again = Joining(rule).take(*values[: at + 3], *values[at:])
    assert again.rows == once.rows


# Held


def state(times: list[float], values: list[float]) -> ChannelState:
    return ChannelState(("a", "b"), np.array(times), np.array(values, np.float32))


def test_a_hole_is_filled_with_the_channel_s_last_value() -> None:
    rows = np.array([[1, NAN], [NAN, 4], [NAN, NAN]], np.float32)
    found = held(state([NAN, 9.0], [0, 7]), rows, 10.0, period_s=1.0, hold_s=2.0)
    assert found.rows.tolist() == [[1, 7], [1, 4], [1, 4]]
    assert found.state.times.tolist() == [10.0, 11.0]
    assert found.state.values.tolist() == [1, 4]
    assert np.isnan(rows[0, 1]), "the message's own rows stay as they are"


@pytest.mark.parametrize(("last", "missing"), [(7.0, (1, 3.0)), (NAN, (1, None))])
def test_a_value_that_is_too_old_fills_nothing(last: float, missing: tuple[int, float | None]) -> None:
    before = state([9.0, last], [1, 2])
    found = held(before, np.array([[5, NAN]], np.float32), 10.0, period_s=0.0, hold_s=2.0)
    assert found.missing == missing
    assert found.state is before
