"""How far an accuracy on so many samples can be trusted."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

#: (low, high), shares in 0 to 1.
Interval = tuple[float, float]
_Z_95 = 1.959963984540054


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
    return max(0.0, middle - reach), min(1.0, middle + reach)


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
