"""Latencies of samples, summed up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


class Latencies:
    """So many latencies, in seconds."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._seconds = np.asarray(seconds, dtype=np.float64)

    def quantiles_ms(self) -> dict[str, float | None]:
        """Milliseconds by name; none of it where there were no samples."""
        if not len(self._seconds):
            return dict.fromkeys((*_SHARES, "max"))
        found = {name: 1e3 * float(np.quantile(self._seconds, share)) for name, share in _SHARES.items()}
        return {**found, "max": 1e3 * float(self._seconds.max())}
