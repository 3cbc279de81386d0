"""The population stability index: how far the scores of now lie from those of the calibration split.

PSI = sum over bins of (q - p) ln(q / p), p the calibration split's share of a bin and q the present one (Lewis 1994,
An Introduction to Credit Scoring). It is 0 for equal shares, and greater than 0 for nearly any two samples, even of one
population: so what counts as drift follows from the index's own distribution where nothing has changed.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle.calibration import Histogram

#: Of looks at a device whose scores have not changed, this share finds an index below the threshold.
QUANTILE: Final = 0.9999
_BINS: Final = 10
_BIN_SAMPLES_MIN: Final = 10
#: Added to every count, so that an empty bin has a logarithm (Jeffreys' prior).
_PRIOR: Final = 0.5

Counts = npt.NDArray[np.int64]


class Reference:
    """A calibration histogram, merged to bins of about equal counts: ten, or fewer so that each holds ten samples.

    Attributes:
        inner_edges: (B - 1,) float64, ascending; bin b holds scores from inner_edges[b - 1] to below inner_edges[b].
        counts: (B,) int64, calibration samples by bin.
        samples: Their sum.
    """

    def __init__(self, histogram: Histogram) -> None:
        total = sum(histogram.counts)
        wanted = max(1, min(_BINS, total // _BIN_SAMPLES_MIN))
        passed = np.cumsum(histogram.counts)[:-1]  # up to each inner edge
        nearest = {int(np.abs(passed - total * part / wanted).argmin()) for part in range(1, wanted) if len(passed)}
        chosen = [at for at in sorted(nearest) if 0 < passed[at] < total]
        self.inner_edges = np.asarray([histogram.edges[at + 1] for at in chosen], dtype=np.float64)
        self.counts: Counts = np.diff([0, *passed[chosen], total]).astype(np.int64)
        self.samples = total

    @classmethod
    def usable(cls, histogram: Histogram) -> Self | None:
        """The reference; None where its samples are too few, or too alike, for two bins."""
        found = cls(histogram)
        return found if len(found.counts) > 1 else None

    def bins_of(self, scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
        """The bins (N,) of scores (N,), 0 to B - 1; scores beyond the outer edges belong to the outer bins."""
        found: npt.NDArray[np.intp] = np.searchsorted(self.inner_edges, scores, side="right")
        return found

    def psi(self, counts: npt.ArrayLike) -> float:
        """The index of counts (B,) against the calibration split's; half a sample is added to every count."""
        now = _shares(np.asarray(counts, dtype=np.float64))
        then = _shares(self.counts.astype(np.float64))
        return float(((now - then) * np.log(now / then)).sum())

    def threshold(self, samples: int, quantile: float = QUANTILE) -> float:
        """Quantile of the index of so many independent samples of the calibration split's own population."""
        return null_quantile(samples, self.samples, len(self.counts), quantile)


@lru_cache(maxsize=4096)
def null_quantile(samples: int, reference_samples: int, bins: int, quantile: float) -> float:
    """Quantile of the index between two samples of one population, by its asymptotic distribution.

    (1/n + 1/m) chi2(B - 1) for n samples against m in B bins (Yurdakul 2018, Statistical Properties of Population
    Stability Index): both samples' chance is in it. The quantile of chi2 with d degrees of freedom is Wilson and
    Hilferty's (1931), d (1 - 2/9d + z sqrt(2/9d))^3. Raises ValueError for counts below 1 or fewer than two bins.
    """
    if samples < 1 or reference_samples < 1 or bins < 2:
        raise ValueError(f"no distribution for {samples} and {reference_samples} samples in {bins} bins")
    freedom = bins - 1
    part = 2 / (9 * freedom)
    z = NormalDist().inv_cdf(quantile)
    return float((1 / samples + 1 / reference_samples) * freedom * (1 - part + z * part**0.5) ** 3)


def _shares(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = (counts + _PRIOR) / (counts + _PRIOR).sum()
    return shares
