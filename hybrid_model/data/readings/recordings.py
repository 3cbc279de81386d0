"""A table becomes recordings: readings of one device that follow each other without a gap, as the edge joins them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.form import GAP_PERIODS
from hybrid_model.data.readings.table import Table

__all__ = ["Cuts", "Rate", "Recording", "device_rows", "measured_rate", "recordings"]

#: The share of steps between readings that may be far from the period, before rows are resampled.
_IRREGULAR_SHARE = 0.05
#: Devices of one rate differ by less.
_RATE_TOLERANCE = 0.02
#: Where times are irregular, only what is longer than so many periods is a gap, and no value is made up for it.
_RESAMPLED_GAP_PERIODS = 5.0
#: Rows are interpolated to so many times their own rate at most.
_FASTER_MAX = 2.0
_BACK_SHARE_MAX = 0.01
_EQUAL_SHARE_MAX = 0.1


@dataclass(frozen=True)
class Rate:
    """Readings per second; `resampled`: whether rows have to be interpolated to it, and `why`.

    `tick_s`: the step of a clock that is coarser than the period; None where it tells readings apart.
    """

    rate_hz: float
    resampled: bool
    why: str = ""
    tick_s: float | None = None

    @property
    def gap_s(self) -> float:
        """Readings further apart do not follow each other."""
        periods = _RESAMPLED_GAP_PERIODS if self.resampled else GAP_PERIODS
        return periods * max(1.0 / self.rate_hz, self.tick_s or 0.0)


@dataclass(frozen=True, eq=False)
class Recording:
    """Readings of a device without a gap: values (n, C) float32, label (n,) int32 (-1: none), the first one's time."""

    device: int
    values: npt.NDArray[np.float32]
    label: npt.NDArray[np.int32]
    first_s: float | None
    period_s: float


@dataclass
class Cuts:
    """How often readings do not follow each other, by why; and rows that were dropped."""

    gaps: int = 0
    back: int = 0
    equal: int = 0
    empty: int = 0
    repeated: int = 0
    rows: int = 0

    def told(self) -> list[str]:
        """One line for each kind that there is."""
        lines = []
        if self.repeated:
            lines.append(f"{self.repeated:,} readings come twice, value for value: taken once, as the edge does")
        if self.empty:
            lines.append(f"{self.empty:,} of {self.rows:,} readings lack a value: cut there, as the edge refuses them")
        if self.gaps:
            lines.append(f"{self.gaps:,} gaps of more than {GAP_PERIODS:g} periods: cut there")
        if self.back:
            lines.append(f"times go back {self.back:,} times: cut there, as the edge does")
        if self.equal:
            lines.append(f"{self.equal:,} readings have the time of the one before and other values: cut there")
        return lines


def device_rows(table: Table) -> Iterator[tuple[int, npt.NDArray[np.int64] | slice]]:
    """Each device's rows in the files' order: a slice where they stand together, so that nothing is copied."""
    codes = table.device
    starts = np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1))
    if len(starts) == len(np.unique(codes[starts])):
        for start, end in zip(starts, np.append(starts[1:], len(codes)), strict=True):
            if codes[start] >= 0:
                yield int(codes[start]), slice(int(start), int(end))
        return
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    for code in np.unique(ordered):
        if code >= 0:
            yield int(code), order[np.searchsorted(ordered, code) : np.searchsorted(ordered, code, side="right")]


def measured_rate(table: Table, asked_hz: float | None, source: str) -> Rate:
    """The rate of the windows, from the times between readings. Raises ReadingsError where they do not tell it."""
    if table.time_s is None:
        if asked_hz is None:
            raise ReadingsError(
                f"{source}: no column 'time': name it with --time-column; or, where readings follow each other without "
                "gaps, say how many come in a second with --rate-hz"
            )
        return Rate(asked_hz, resampled=False)
    rates: list[tuple[float, float, float]] = []
    irregular, steps, back, equal = 0, 0, 0, 0
    for _, rows in device_rows(table):
        step_s = np.diff(table.time_s[rows])
        step_s = step_s[np.isfinite(step_s)]
        forward = step_s[step_s > 0]
        steps, back, equal = steps + len(step_s), back + int((step_s < 0).sum()), equal + int((step_s == 0).sum())
        if not len(forward):
            continue
        period_s = float(np.median(forward))
        usual = forward[np.abs(forward - period_s) <= 0.5 * period_s]
        irregular += len(forward) - len(usual)
        rates.append((len(forward), 1.0 / float(usual.mean()), 1.0 / period_s))
    if not rates:
        raise ReadingsError(
            f"{source}: no two readings of a device have times that go on; name the right column with --time-column"
        )
    if back > _BACK_SHARE_MAX * steps:
        raise ReadingsError(
            f"{source}: times go back at {back:,} of {steps:,} readings; sort the file by device and time, or name "
            "another column with --time-column"
        )
    counts, means, medians = (np.array(column) for column in zip(*rates, strict=True))
    if equal > _EQUAL_SHARE_MAX * steps:
        if asked_hz is None:
            raise ReadingsError(
                f"{source}: {equal:,} of {steps:,} readings have the time of the one before: too coarse to tell the "
                "rate; write finer times, or say how many readings come in a second with --rate-hz"
            )
        return Rate(asked_hz, resampled=False, tick_s=float(1.0 / medians.min()))
    own_hz = _rounded(float(np.average(means, weights=counts)))
    if asked_hz is not None and asked_hz > _FASTER_MAX * own_hz:
        raise ReadingsError(
            f"{source}: readings come at {own_hz:.4g} Hz: {asked_hz:g} Hz would be made up; give a --rate-hz up to "
            f"{_FASTER_MAX * own_hz:.4g}"
        )
    if irregular > _IRREGULAR_SHARE * steps:
        rate_hz = asked_hz or _rounded(float(np.median(medians)))
        return Rate(rate_hz, resampled=True, why=f"{irregular:,} of {steps:,} steps are far from the median")
    slowest, fastest = float(means.min()), float(means.max())
    if fastest > slowest * (1 + _RATE_TOLERANCE):
        rate_hz = asked_hz or _rounded(slowest)
        return Rate(rate_hz, resampled=True, why=f"devices have rates from {slowest:.4g} to {fastest:.4g} Hz")
    if asked_hz is not None and abs(asked_hz - own_hz) > _RATE_TOLERANCE * own_hz:
        return Rate(asked_hz, resampled=True, why=f"asked for; readings come at {own_hz:.4g} Hz")
    return Rate(asked_hz or own_hz, resampled=False)


def recordings(table: Table, rate: Rate) -> tuple[list[Recording], Cuts]:
    """All stretches without a gap, device by device in the files' order, and where they were cut."""
    found: list[Recording] = []
    cuts = Cuts(rows=len(table))
    period_s = 1.0 / rate.rate_hz
    for device, rows in device_rows(table):
        values, label = table.values[rows], table.label[rows]
        time_s = None if table.time_s is None else table.time_s[rows]
        for start, end, kept in _stretches(values, label, time_s, rate, cuts):
            piece = slice(start, end) if kept is None else kept
            own_s = None if time_s is None else time_s[piece]
            taken, labels = values[piece], label[piece]
            if rate.resampled and own_s is not None and len(own_s) > 1:
                taken, labels = _interpolated(taken, labels, own_s, period_s)
            first_s = None if own_s is None else float(own_s[0])
            found.append(Recording(device, taken, labels, first_s, period_s))
    return found, cuts


def _stretches(
    values: npt.NDArray[np.float32],
    label: npt.NDArray[np.int32],
    time_s: npt.NDArray[np.float64] | None,
    rate: Rate,
    cuts: Cuts,
) -> Iterator[tuple[int, int, npt.NDArray[np.int64] | None]]:
    """Start and end of every stretch of a device, or the rows of it where some are dropped."""
    whole = ~np.isnan(values).any(axis=1)
    if time_s is not None:
        whole &= np.isfinite(time_s)
    cuts.empty += int((~whole).sum())
    rows = np.flatnonzero(whole)
    if not len(rows):
        return
    apart = np.diff(rows) > 1  # a reading that was refused lies between
    if time_s is not None:
        step_s = np.diff(time_s[rows])
        same = np.zeros(len(rows), np.bool_)
        if rate.tick_s is None:
            same[1:] = (step_s == 0) & (values[rows[1:]] == values[rows[:-1]]).all(axis=1)
        if same.any():
            cuts.repeated += int(same.sum())
            refused = np.concatenate([[0], np.cumsum(apart)])
            rows, refused = rows[~same], refused[~same]
            apart, step_s = np.diff(refused) > 0, np.diff(time_s[rows])
        gap, back = step_s > rate.gap_s, step_s < 0
        equal = (step_s == 0) & (rate.tick_s is None)
        cuts.gaps, cuts.back = cuts.gaps + int(gap.sum()), cuts.back + int(back.sum())
        cuts.equal += int(equal.sum())
        apart = apart | gap | back | equal
    bounds = np.concatenate([[0], np.flatnonzero(apart) + 1, [len(rows)]])
    for first, last in itertools.pairwise(bounds):
        piece = rows[first:last]
        together = int(piece[-1]) - int(piece[0]) + 1 == len(piece)
        yield int(piece[0]), int(piece[-1]) + 1, None if together else piece


def _interpolated(
    values: npt.NDArray[np.float32], label: npt.NDArray[np.int32], time_s: npt.NDArray[np.float64], period_s: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Readings every `period_s` from the first on, linear between two; each has the label of the nearest one before.

    Where at least two readings fall into a period, each is first the mean of those around it, so that what swings
    faster than the new rate can tell does not come back as something slower.
    """
    at_s = time_s[0] + period_s * np.arange(int((time_s[-1] - time_s[0]) / period_s + 1e-6) + 1)
    around = round(period_s * (len(time_s) - 1) / float(time_s[-1] - time_s[0]))
    result = np.empty((len(at_s), values.shape[1]), np.float32)
    for number in range(values.shape[1]):
        column = values[:, number].astype(np.float64)
        if around >= 2:
            weights = np.ones(min(around, len(column)))
            column = np.convolve(column, weights, "same") / np.convolve(np.ones(len(column)), weights, "same")
        result[:, number] = np.interp(at_s, time_s, column)
    before = np.clip(np.searchsorted(time_s, at_s + 1e-9, side="right") - 1, 0, len(label) - 1)
    return result, label[before]


def _rounded(rate_hz: float) -> float:
    """To four digits: a clock that is off by less than that is not told apart from one that is right."""
    return float(f"{rate_hz:.4g}")
