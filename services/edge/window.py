"""Readings -> windows. A window's id follows from its device, epoch and first mark, however often it is made.

`advance` is a pure function from one state to the next: a state becomes true only when the journal has committed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Advance", "Readings", "Window", "WindowRule", "WindowState", "advance", "restarted"]

Cut = Literal["gap", "epoch", "rejected"]

_MARK_BYTES: Final = np.dtype(np.int64).itemsize
_STATE_BYTES: Final = 1024  # of a state without readings: the device's name, and what surrounds it


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Consecutive readings of one message: `rows` (n, C) float32; `mark` of the first row; `t` its time, epoch seconds.

    Row i has mark `mark + i * step`; `timed`: marks are times in microseconds. Without seq and time there is no mark.
    """

    rows: npt.NDArray[np.float32]
    mark: int | None
    step: int
    t: float | None
    timed: bool = False


@dataclass(frozen=True, slots=True)
class WindowRule:
    """`length` readings a window, `hop` to the next; `period_s` between readings, where it is known.

    `max_gap_s`: readings further apart start afresh; none: only missing marks do. `marks_kept`: a device's latest
    messages, known when they come again.
    """

    length: int
    hop: int
    period_s: float | None = None
    max_gap_s: float | None = None
    marks_kept: int = 8192

    def __post_init__(self) -> None:
        if not 1 <= self.hop <= self.length:
            raise ValueError(f"hop {self.hop} is not within 1 and the length {self.length}")

    def state_bytes_max(self, channels: int) -> int:
        """What the state of a device takes at most, in memory or stored."""
        return _STATE_BYTES + self.length * (_MARK_BYTES + channels * np.dtype(np.float32).itemsize)


@dataclass(frozen=True, slots=True, eq=False)
class WindowState:
    """Where a device's stream stands: the readings that later windows need, oldest first.

    `high`: the greatest mark of this epoch; `last_t`: time of its reading, epoch seconds; `marks` (n,) int64 and `rows`
    (n, C) float32 of the readings kept.
    """

    epoch: int
    high: int | None
    last_t: float | None
    marks: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, channels: int, epoch: int = 0) -> WindowState:
        """Before the first reading of an epoch."""
        return cls(epoch, None, None, np.empty(0, np.int64), np.empty((0, channels), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A full window: `rows` (length, C) float32; `ended_t`: time of its last reading, if readings carry times."""

    epoch: int
    first_mark: int
    rows: npt.NDArray[np.float32]
    ended_t: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Advance:
    """What a message's readings led to. `cut`: why the window begun before was given up, if one was."""

    state: WindowState
    windows: list[Window]
    cut: Cut | None


def advance(state: WindowState, readings: Readings, rule: WindowRule) -> Advance:
    """Take in the readings of one message, which is no redelivery."""
    cut: Cut | None = None
    count = len(readings.rows)
    step = readings.step
    mark = readings.mark
    if mark is None:
        mark, step = (0 if state.high is None else state.high + 1), 1
    begun = len(state.rows) > 0
    if state.high is not None and mark <= state.high:
        state, cut = WindowState.empty(readings.rows.shape[1], state.epoch + 1), "epoch"
    elif state.high is not None and _gap(state, readings, mark, rule):
        state, cut = _cleared(state), "gap"
    marks = np.concatenate([state.marks, mark + step * np.arange(count, dtype=np.int64)])
    rows = np.concatenate([state.rows, readings.rows])
    windows, start = [], 0
    while start + rule.length <= len(rows):
        end = start + rule.length
        windows.append(
            Window(state.epoch, int(marks[start]), rows[start:end], _time_of(readings, end - 1 - len(state.rows), rule))
        )
        start += rule.hop
    following = WindowState(
        epoch=state.epoch,
        high=mark + step * (count - 1),
        last_t=_time_of(readings, count - 1, rule),
        marks=marks[start:].copy(),
        rows=rows[start:].copy(),
    )
    return Advance(following, windows, cut if begun else None)


def restarted(state: WindowState) -> WindowState:
    """The state after a reading was rejected: the window begun is given up, marks go on."""
    return _cleared(state)


def _cleared(state: WindowState) -> WindowState:
    return WindowState(state.epoch, state.high, state.last_t, state.marks[:0].copy(), state.rows[:0].copy())


def _gap(state: WindowState, readings: Readings, mark: int, rule: WindowRule) -> bool:
    assert state.high is not None
    max_gap_s = rule.max_gap_s
    if max_gap_s is None and rule.period_s is not None:
        max_gap_s = 1.5 * rule.period_s
    if readings.t is not None and state.last_t is not None:
        apart_s = readings.t - state.last_t
        if apart_s < 0 or (max_gap_s is not None and apart_s > max_gap_s):
            return True
        if max_gap_s is not None:
            return False
    missing = mark - state.high - 1
    if readings.mark is None or readings.timed or missing <= 0:
        return False
    if rule.period_s is None or max_gap_s is None:
        return True
    return (missing + 1) * rule.period_s > max_gap_s


def _time_of(readings: Readings, row: int, rule: WindowRule) -> float | None:
    """Time of a row of the message (a window's last reading always is one)."""
    if readings.t is None:
        return None
    return readings.t + row * (rule.period_s or 0.0)
