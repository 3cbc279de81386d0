"""Positions on a bundle's calibrated path of thresholds, and what share of the samples rises at each."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle.calibration import Calibration
from hybrid_model.errors import DewpointError

_STEP_MIN = 0.02


class NotCalibratedError(DewpointError, ValueError):
    """No point of the path may be taken; the message says why and what to do."""


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
        self._thresholds = [one.thresholds for one in path]
        self._passed: tuple[int, int] | None = None
        if calibration.start is not None and calibration.passed is not None:
            self._passed = (calibration.start, calibration.passed)
        least = 0.5 / calibration.tuning.samples  # a share that no split of this size can tell from 0
        self._log_odds: list[float] = []
        for one in path:
            found = log_odds(min(max(1.0 - one.edge_share, least), 1.0 - least))
            if self._log_odds:  # points of the same share stay apart: elsewhere their shares may differ
                found = min(found, self._log_odds[-1] - _STEP_MIN)
            self._log_odds.append(found)

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
        high = bisect_right([-one for one in self._log_odds], -wanted)
        before, after = self._log_odds[high - 1], self._log_odds[high]
        return high - 1 + (before - wanted) / (before - after)


def log_odds(share: float) -> float:
    """ln(s / (1 - s)) of a share s. Raises ValueError or ZeroDivisionError for 0 and 1."""
    return math.log(share / (1.0 - share))


def mixed(position: float, count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """The points by which `count` samples are decided at a position: (count,), each the one below or the one above.

    Each sample is drawn for itself, the point above with the probability of the position's fraction.
    """
    below = int(position)
    fraction = position - below
    if fraction == 0.0:
        return np.full(count, below, dtype=np.int64)
    return below + (random.random(count) < fraction).astype(np.int64)
