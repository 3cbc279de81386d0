"""Quantiles from the buckets of a classic histogram, as Prometheus' `histogram_quantile` reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["histogram_quantile"]


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value that `share` of the observations do not exceed, by linear interpolation within its bucket.

    Args:
        share: From 0 to 1.
        buckets: Observations at most `bound`, by bound, `inf` among them.

    Returns None where nothing was observed; the greatest finite bound where the value lies beyond it.
    """
    bounds = sorted(buckets)
    if not bounds or not math.isinf(bounds[-1]) or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    below, count_below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return below
            inside = count - count_below
            return bound if inside <= 0 else below + (bound - below) * (rank - count_below) / inside
        below, count_below = bound, count
    return below
