"""How far an observed share can be trusted."""

from __future__ import annotations

from math import sqrt
from typing import Final

#: (low, high), shares in 0 to 1.
Interval = tuple[float, float]
Z_95: Final = 1.959963984540054


def wilson_interval(share: float, samples: int) -> Interval:
    """95 % interval of a share that was observed on so many independent samples (Wilson 1927, score interval).

    With z = 1.96 and n samples: (share + z^2/2n +- z sqrt(share (1 - share)/n + z^2/4n^2)) / (1 + z^2/n).
    Raises ValueError for no samples.
    """
    if samples < 1:
        raise ValueError("an interval needs at least one sample")
    z2 = Z_95**2 / samples
    middle = (share + z2 / 2) / (1 + z2)
    reach = Z_95 * sqrt(share * (1 - share) / samples + z2 / (4 * samples)) / (1 + z2)
    low, high = middle - reach, middle + reach
    return (max(0.0, low) if share > 0 else 0.0), (min(1.0, high) if share < 1 else 1.0)
