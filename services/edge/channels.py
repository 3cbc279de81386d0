"""What is known of a device's channels one by one: last values that are held, and values that are joined to rows.

Pure, as `window.py`: a state becomes true only when the journal has committed it. Rows follow from the values and
their times alone, never from when they are looked at, so that a restart changes none.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from services.edge.window import Readings

__all__ = ["PENDING_MAX", "ChannelState", "Held", "JoinRule", "Joined", "TooManyPendingError", "held", "joined"]

#: Values of a device that may wait for their row.
PENDING_MAX: Final = 1024
_PENDING_BYTES: Final = 24  # of a time, a channel and a value
_CHANNEL_BYTES: Final = 12  # of a last time and a last value
_NAMES_BYTES: Final = 256

Pending = tuple[float, int, float]


class TooManyPendingError(ValueError):
    """More values wait for their rows than are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelState:
    """Where the channels of a device stand.

    `names`: what they are called, in order; a state of others is of no use. `times` (C,) float64, epoch seconds, NaN
    where there was nothing, and `values` (C,) float32: the last of each. `pending`: (time, channel, value) of what no
    row has seen, by time. `done_t`: rows up to this time are made. `newest_t`: the greatest time that came.
    """

    names: tuple[str, ...]
    times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    pending: tuple[Pending, ...] = ()
    done_t: float | None = None
    newest_t: float | None = None

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> ChannelState:
        """Before the first value."""
        return cls(names, np.full(len(names), np.nan), np.zeros(len(names), np.float32))

    @staticmethod
    def bytes_max(channels: int) -> int:
        """What the state of a device takes at most."""
        return PENDING_MAX * _PENDING_BYTES + channels * _CHANNEL_BYTES + _NAMES_BYTES


# Held values


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Rows without holes; `missing`: (channel, age in seconds or None) of the first hole that nothing could fill."""

    state: ChannelState
    rows: npt.NDArray[np.float32]
    missing: tuple[int, float | None] | None = None


def held(state: ChannelState, rows: npt.NDArray[np.float32], t: float, *, period_s: float, hold_s: float) -> Held:
    """Fill the holes (NaN) of rows with the last values of their channels, not older than `hold_s`.

    `t`: epoch seconds of the first row; the others follow every `period_s`.
    """
    times, values, rows = state.times.copy(), state.values.copy(), rows.copy()
    for number, row in enumerate(rows):
        at = t + number * period_s
        holes = np.isnan(row)
        if holes.any():
            old = holes & ~(at - times <= hold_s)  # NaN, where there was nothing, is too old
            if old.any():
                channel = int(np.flatnonzero(old)[0])
                age_s = at - float(times[channel])
                return Held(state, rows, (channel, age_s if math.isfinite(age_s) else None))
            row[holes] = values[holes]
        times[~holes], values[~holes] = at, row[~holes]
    return Held(replace(state, times=times, values=values), rows)


# Joined values


@dataclass(frozen=True, slots=True)
class JoinRule:
    """A row every `period_s`; it waits `late_s` for late values, and holds those not older than `hold_s`."""

    period_s: float
    late_s: float
    hold_s: float

    @property
    def rows_max(self) -> int:
        """Rows that one value can lead to at most."""
        return math.ceil((self.late_s + self.hold_s) / self.period_s) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """What one value led to: consecutive rows, in runs where there are gaps between them.

    `outcome`: "taken"; "known", if the channel had a value of this time before; "late", if its rows are made and a
    newer one is known.
    """

    state: ChannelState
    runs: list[Readings]
    outcome: Literal["taken", "known", "late"]


def joined(
    state: ChannelState, channel: int, t: float, value: float, rule: JoinRule, *, by_arrival: bool = False
) -> Joined:
    """Take in the value that a channel had at `t` (epoch seconds).

    Row k is of the time k x `period_s` and has of every channel the last value up to then. It is made once a value
    came whose time is more than `late_s` later. `by_arrival`: times are those of arrival: they never go back, and of
    two values at once the later counts. Raises TooManyPendingError.
    """
    if by_arrival and state.newest_t is not None:
        t = max(t, state.newest_t)
    if state.done_t is not None and t <= state.done_t:
        if t <= state.times[channel]:
            return Joined(state, [], "known" if t == state.times[channel] else "late")
        # Too late for its own row; those to come hold it.
        times, values = state.times.copy(), state.values.copy()
        times[channel], values[channel] = t, value
        return Joined(replace(state, times=times, values=values), [], "taken")
    at = bisect_left(state.pending, (t, channel, -math.inf))
    found = at < len(state.pending) and state.pending[at][:2] == (t, channel)
    if found and not by_arrival:
        return Joined(state, [], "known")
    if len(state.pending) >= PENDING_MAX and not found:
        raise TooManyPendingError
    pending = [*state.pending[:at], (t, channel, value), *state.pending[at + found :]]
    newest_t = t if state.newest_t is None else max(t, state.newest_t)
    return _rows_made(replace(state, pending=tuple(pending), newest_t=newest_t), newest_t - rule.late_s, rule)


def _rows_made(state: ChannelState, until_t: float, rule: JoinRule) -> Joined:
    """All rows of times before `until_t`."""
    period_s = rule.period_s
    last = _number_from(until_t, period_s) - 1
    first = _number_from(state.pending[0][0], period_s)
    if state.done_t is not None:
        first = min(first, _number_after(state.done_t, period_s))
    if last < first:
        return Joined(state, [], "taken")
    times, values = state.times.copy(), state.values.copy()
    pending, at, runs = state.pending, 0, []
    run: list[npt.NDArray[np.float32]] = []
    number, begun = first, first
    while number <= last:
        row_t = number * period_s
        while at < len(pending) and pending[at][0] <= row_t:
            t, channel, value = pending[at]
            if not t < times[channel]:
                times[channel], values[channel] = t, value
            at += 1
        if (row_t - times <= rule.hold_s).all():
            if not run:
                begun = number
            run.append(values.copy())
            number += 1
            continue
        if run:
            runs.append(_readings(run, begun, period_s))
            run = []
        # Without a new value no later row has what this one lacks.
        number = max(number + 1, _number_from(pending[at][0], period_s)) if at < len(pending) else last + 1
    if run:
        runs.append(_readings(run, begun, period_s))
    done = replace(state, times=times, values=values, pending=pending[at:], done_t=last * period_s)
    return Joined(done, runs, "taken")


def _readings(run: list[npt.NDArray[np.float32]], begun: int, period_s: float) -> Readings:
    return Readings(np.stack(run), begun, 1, begun * period_s)


def _number_from(t: float, period_s: float) -> int:
    """The number of the first row at `t` or later."""
    number = math.ceil(t / period_s)
    while number * period_s < t:
        number += 1
    while (number - 1) * period_s >= t:
        number -= 1
    return number


def _number_after(t: float, period_s: float) -> int:
    """The number of the first row later than `t`."""
    number = _number_from(t, period_s)
    return number if number * period_s > t else number + 1
