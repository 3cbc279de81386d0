"""How far an accuracy on so many samples can be trusted."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

from hybrid_model.monitoring.wilson import Z_95, Interval, wilson_interval

__all__ = ["Interval", "paired_interval", "wilson_interval"]


def paired_interval(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> tuple[float, Interval]:
    """How much more often `ours` (N,) is right than `theirs` (N,) on the same samples, and its 95 % interval.

    With d = ours - theirs in -1, 0, 1: mean(d) +- 1.96 sqrt(var(d) / N), the normal interval of a difference of paired
    proportions (Fleiss, Levin, Paik 2003, Statistical Methods for Rates and Proportions, section 13.1).
    Raises ValueError for no samples, or different numbers of them.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"pairs need the same samples, not {len(ours)} and {len(theirs)}")
    difference = ours.astype(np.float64) - theirs.astype(np.float64)
    middle, reach = float(difference.mean()), Z_95 * sqrt(float(difference.var()) / len(difference))
    return middle, (middle - reach, middle + reach)
