"""Windows: overlap, gaps, epochs, and ids that follow from the readings alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.edge.window import Advance, Readings, Window, WindowRule, WindowState, advance, restarted

PERIOD_S = 0.02
RULE = WindowRule(length=8, hop=4, period_s=PERIOD_S)


def message(first: int, count: int = 1, *, t: float | None = None, mark: bool = True) -> Readings:
    """Readings whose value is their own number."""
    rows = np.arange(first, first + count, dtype=np.float32)[:, np.newaxis]
    return Readings(rows, first if mark else None, 1, t)


def run(messages: Iterable[Readings], rule: WindowRule = RULE) -> tuple[WindowState, list[Window], list[Advance]]:
    state, windows, steps = WindowState.empty(1), [], []
    for one in messages:
        step = advance(state, one, rule)
        state = step.state
        windows += step.windows
        steps.append(step)
    return state, windows, steps


def values(windows: Iterable[Window]) -> list[list[float]]:
    return [window.rows[:, 0].tolist() for window in windows]


def test_windows_overlap_by_length_less_hop() -> None:
    _, windows, _ = run(message(i) for i in range(16))
    assert values(windows) == [list(range(0, 8)), list(range(4, 12)), list(range(8, 16))]
    assert [window.first_mark for window in windows] == [0, 4, 8]


@given(st.integers(1, 12), st.data(), st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_windows_do_not_depend_on_how_readings_are_packed_into_messages(
    length: int, data: st.DataObject, sizes: list[int]
) -> None:
    rule = WindowRule(length=length, hop=data.draw(st.integers(1, length)))
    total = sum(sizes)
    starts = np.cumsum([0, *sizes])[:-1]
    state, windows, _ = run((message(int(s), n) for s, n in zip(starts, sizes, strict=True)), rule)
    expected = list(range(0, total - length + 1, rule.hop))
    assert [window.first_mark for window in windows] == expected
    assert values(windows) == [list(range(s, s + length)) for s in expected]
    assert len(state.rows) < length
    assert state.high == total - 1


def test_one_message_may_fill_several_windows() -> None:
    _, windows, _ = run([message(0, 17)])
    assert [window.first_mark for window in windows] == [0, 4, 8]


def test_a_missing_mark_starts_afresh_after_the_gap() -> None:
    _, windows, steps = run([message(0, 5), message(7, 12)])
    assert [window.first_mark for window in windows] == [7, 11]
    assert steps[1].cut == "gap"


def test_a_gap_by_the_readings_own_times_starts_afresh() -> None:
    _, windows, steps = run([message(0, 5, t=1.0), message(5, 10, t=1.0 + 5 * PERIOD_S + 1.0)])
    assert [window.first_mark for window in windows] == [5]
    assert steps[1].cut == "gap"


def test_readings_that_come_late_but_carry_even_times_are_no_gap() -> None:
    _, windows, steps = run([message(0, 5, t=1.0), message(5, 5, t=1.0 + 5 * PERIOD_S)])
    assert [window.first_mark for window in windows] == [0]
    assert steps[1].cut is None


def test_a_wider_gap_may_be_allowed() -> None:
    rule = WindowRule(length=8, hop=8, period_s=PERIOD_S, max_gap_s=1.0)
    _, windows, _ = run([message(0, 5), message(7, 5)], rule)
    assert values(windows) == [[0, 1, 2, 3, 4, 7, 8, 9]]


def test_a_publisher_that_starts_over_begins_a_new_epoch() -> None:
    state, windows, steps = run([message(0, 10), message(0, 8)])
    assert [(window.epoch, window.first_mark) for window in windows] == [(0, 0), (1, 0)]
    assert steps[1].cut == "epoch"
    assert state.high == 7


def test_readings_that_overlap_what_was_committed_begin_a_new_epoch() -> None:
    state, _, steps = run([message(0, 5), message(3, 5)])
    assert steps[1].state.epoch == 1
    assert state.marks.tolist() == [3, 4, 5, 6, 7]


def test_a_clock_that_steps_back_under_growing_marks_is_a_gap() -> None:
    _, _, steps = run([message(0, 5, t=10.0), message(5, 1, t=9.0)])
    assert steps[1].cut == "gap"


def test_without_marks_readings_are_numbered_as_they_come() -> None:
    _, windows, _ = run([message(100, 5, mark=False), message(500, 3, mark=False)])
    assert [window.first_mark for window in windows] == [0]
    assert values(windows) == [[100, 101, 102, 103, 104, 500, 501, 502]]


def test_readings_marked_by_time_alone_need_no_even_spacing() -> None:
    rule = WindowRule(length=3, hop=3)
    rows = np.zeros((1, 1), np.float32)
    messages = [Readings(rows, round(t * 1e6), 1, t, timed=True) for t in (1.0, 1.5, 4.0)]
    _, windows, _ = run(messages, rule)
    assert [window.first_mark for window in windows] == [1_000_000]


def test_after_a_rejected_reading_the_window_starts_afresh_and_marks_go_on() -> None:
    state, _, _ = run([message(0, 5)])
    state = restarted(state)
    step = advance(state, message(5, 8), RULE)
    assert [window.first_mark for window in step.windows] == [5]
    assert step.state.epoch == 0


def test_a_window_knows_when_its_last_reading_was_taken() -> None:
    _, windows, _ = run([message(0, 20, t=100.0)])
    assert [window.ended_t for window in windows] == [100.0 + i * PERIOD_S for i in (7, 11, 15, 19)]


def test_advance_changes_nothing_of_the_state_before() -> None:
    before, _, _ = run([message(0, 5)])
    kept = before.rows.copy(), before.marks.copy(), before.high
    advance(before, message(5, 20), RULE)
    np.testing.assert_array_equal(before.rows, kept[0])
    np.testing.assert_array_equal(before.marks, kept[1])
    assert before.high == kept[2]
