"""A bundle's calibrated path of thresholds: what share rises at each position, and which set-points can be followed."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle.calibration import Calibration
from hybrid_model.errors import DewpointError
from services.budgets import BUDGETS, Costs
from services.messages import Control

__all__ = ["ExitPath", "NotCalibratedError", "SetPointError", "check", "mixed"]

#: Log-odds by which two points of the path lie apart at least.
_STEP_MIN: Final = 0.02


class NotCalibratedError(DewpointError, ValueError):
    """No point of the path may be taken; the message says why and what to do."""


class SetPointError(DewpointError, ValueError):
    """A set-point that cannot be followed; the message says why and what to do."""


class ExitPath:
    """A calibrated path, from point 0 (every sample rises) to `last` (nearly none does).

    A position is a real number from 0 to `last`; between two points it means a random mix of both. Where a controller
    moves, it moves in the log-odds ln(s / (1 - s)) of the escalated share s that calibration found: a harder stream
    shifts them, and leaves the slope near 1, whatever the bundle.
    """

    def __init__(self, calibration: Calibration) -> None:
        path = calibration.path
        self.last = len(path) - 1
        self.working_point = calibration.point
        self._thresholds = [point.thresholds for point in path]
        self._passed: tuple[int, int] | None = None
        if calibration.start is not None and calibration.passed is not None:
            self._passed = (calibration.start, calibration.passed)
        least = 0.5 / calibration.tuning.samples  # a share that no split of this size can tell from 0
        self._log_odds: list[float] = []
        for point in path:
            odds = _log_odds(min(max(1.0 - point.edge_share, least), 1.0 - least))
            if self._log_odds:  # points of the same share stay apart: elsewhere their shares may differ
                odds = min(odds, self._log_odds[-1] - _STEP_MIN)
            self._log_odds.append(odds)

    def thresholds(self, point: int) -> tuple[float, ...]:
        """Those of a point, one an exit."""
        return self._thresholds[point]

    def limits(self, *, allow_uncalibrated: bool) -> tuple[int, int]:
        """The first and the last point that may be taken. Raises NotCalibratedError where there is none."""
        if allow_uncalibrated:
            return 0, self.last
        if self._passed is None:
            raise NotCalibratedError(
                "no point of this bundle passed calibration; set edge.control.allow_uncalibrated, or calibrate the"
                " bundle with more samples (dewpoint calibrate)"
            )
        return self._passed

    def is_calibrated(self, position: float) -> bool:
        """Whether a position lies in the part that passed."""
        return self._passed is not None and self._passed[0] <= position <= self._passed[1]

    def log_odds_at(self, position: float) -> float:
        """The log-odds of the share that rises; falls strictly along the path."""
        low = min(int(position), self.last)
        high = min(low + 1, self.last)
        return self._log_odds[low] + (position - low) * (self._log_odds[high] - self._log_odds[low])

    def position_at(self, wanted: float) -> float:
        """The position of these log-odds; the nearest end where the path does not reach them."""
        if wanted >= self._log_odds[0]:
            return 0.0
        if wanted <= self._log_odds[-1]:
            return float(self.last)
        high = bisect_right([-odds for odds in self._log_odds], -wanted)
        before, after = self._log_odds[high - 1], self._log_odds[high]
        return high - 1 + (before - wanted) / (before - after)


def mixed(position: float, count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """The points by which `count` samples are decided at a position: (count,), each the one below or the one above.

    Each sample is drawn for itself, the point above with the probability of the position's fraction.
    """
    below = int(position)
    fraction = position - below
    if fraction == 0.0:
        return np.full(count, below, dtype=np.int64)
    return below + (random.random(count) < fraction).astype(np.int64)


def check(wanted: Control, path: ExitPath | None, costs: Costs, *, allow_uncalibrated: bool) -> None:
    """Whether a bundle with this path (none: it was not calibrated) can follow a set-point, at these costs of a sample.

    Raises SetPointError where it cannot.
    """
    if wanted.mode == "fixed" and wanted.point is None:
        return  # the bundle's own thresholds
    if path is None:
        raise SetPointError(f"{wanted}: this bundle has no calibrated path; make one with dewpoint calibrate")
    try:
        low, high = path.limits(allow_uncalibrated=allow_uncalibrated)
    except NotCalibratedError as error:
        raise SetPointError(f"{wanted}: {error}") from None
    if wanted.mode == "fixed":
        assert wanted.point is not None
        if wanted.point > path.last:
            raise SetPointError(f"{wanted}: the bundle's path has the points 0 to {path.last}")
        if not low <= wanted.point <= high:
            raise SetPointError(
                f"{wanted}: only the points {low} to {high} passed calibration; take one of them, or set"
                " edge.control.allow_uncalibrated"
            )
        return
    if wanted.budget is None:
        raise SetPointError("budget: it lacks a name and a value")
    refusal = BUDGETS[wanted.budget.name].refusal(wanted.budget.value, costs)
    if refusal is not None:
        raise SetPointError(f"{wanted}: {refusal}")


def _log_odds(share: float) -> float:
    """ln(s / (1 - s)) of a share s, which lies between 0 and 1 and is neither."""
    return math.log(share / (1.0 - share))
