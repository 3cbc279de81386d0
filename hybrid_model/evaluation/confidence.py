"""How far confidences are from the truth: reliability by bins, and its mean, the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConfidenceGap", "ReliabilityBin", "error_by_chance", "expected_calibration_error", "reliability"]

BINS = 15
_DRAWS = 200


@dataclass(frozen=True)
class ReliabilityBin:
    """The samples whose confidence lies in one bin: how many, how sure on average, and which share of them right."""

    samples: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ConfidenceGap:
    """Expected calibration errors of final labels: of those that the edge gave, and of those that rose to the cloud.

    Null where there are none of a kind.
    """

    edge: float | None
    escalated: float | None


def reliability(confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = BINS) -> list[ReliabilityBin]:
    """Bins of equal width in 0..1 that hold samples; `confidence` (N,) and `right` (N,)."""
    number = np.minimum((np.asarray(confidence, dtype=np.float64) * bins).astype(np.int64), bins - 1)
    filled = [number == each for each in np.unique(number)]
    return [
        ReliabilityBin(int(rows.sum()), float(confidence[rows].mean()), float(right[rows].mean())) for rows in filled
    ]


def expected_calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = BINS
) -> float | None:
    """Mean distance of confidence and accuracy over the bins, weighted by their samples; None without samples.

    Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    if not len(right):
        return None
    filled = reliability(confidence, right, bins)
    return sum(each.samples * abs(each.confidence - each.accuracy) for each in filled) / len(right)


def error_by_chance(confidence: NDArray[np.floating], bins: int = BINS) -> float | None:
    """The expected calibration error that confidences (N,) would have if they were the very shares of right ones.

    It is not 0, since a bin's few samples are right by chance: below it an error tells nothing. The mean of some draws,
    the same ones every time; None without samples.
    """
    if not len(confidence):
        return None
    random = np.random.RandomState(0)
    draws = (
        expected_calibration_error(confidence, random.rand(len(confidence)) < confidence, bins) for _ in range(_DRAWS)
    )
    return float(np.mean([error for error in draws if error is not None]))
