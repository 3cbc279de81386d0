"""How far an observed share, or a difference of two, can be trusted: 95 % intervals."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Interval", "paired_interval", "wilson_interval"]

#: (low, high), shares in 0 to 1.
Interval = tuple[float, float]
#: The 97.5 % quantile of the standard normal distribution: 95 % lie within as many standard deviations.
_Z_95: Final = 1.959963984540054


def wilson_interval(share: float, samples: int) -> Interval:
    """95 % interval of a share that was observed on so many independent samples (Wilson 1927, score interval).

    With z = 1.96 and n samples: (share + z^2/2n +- z sqrt(share (1 - share)/n + z^2/4n^2)) / (1 + z^2/n).
    Raises ValueError for no samples.
    """
    if samples < 1:
        raise ValueError("an interval needs at least one sample")
    z2 = _Z_95**2 / samples
    middle = (share + z2 / 2) / (1 + z2)
    reach = _Z_95 * sqrt(share * (1 - share) / samples + z2 / (4 * samples)) / (1 + z2)
    low, high = middle - reach, middle + reach
    return (max(0.0, low) if share > 0 else 0.0), (min(1.0, high) if share < 1 else 1.0)


def paired_interval(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> tuple[float, Interval]:
    """How much more often `ours` (N,) is right than `theirs` (N,) on the same samples, and its 95 % interval.

    With d = ours - theirs in -1, 0, 1: mean(d) +- 1.96 sqrt(var(d) / N), the normal interval of a difference of paired
    proportions (Fleiss, Levin, Paik 2003, Statistical Methods for Rates and Proportions, section 13.1).
    Raises ValueError for no samples, or different numbers of them.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"pairs need the same samples, not {len(ours)} and {len(theirs)}")
    difference = ours.astype(np.float64) - theirs.astype(np.float64)
    middle, reach = float(difference.mean()), _Z_95 * sqrt(float(difference.var()) / len(difference))
    return middle, (middle - reach, middle + reach)
