"""Latencies of final labels over the last seconds, in buckets, so that memory is bounded whatever comes.

The wall clock has no part in it: it can jump, and exits would follow it. Both what is added and the seconds in which it
is counted are differences of one monotonic clock.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

__all__ = ["Latencies"]

#: Upper bound of the first bucket, seconds.
_LEAST_S: Final = 1e-4
#: From one bucket's upper bound to the next: the error of a quantile.
_RATIO: Final = 1.03
#: Up to 1e-4 s * 1.03^700, which is about a day.
_BUCKETS: Final = 700


class Latencies:
    """Counts by bucket and second; a quantile is known to 3 %. Safe from any thread.

    Args:
        seconds: How far back it looks.
        clock: Monotonic seconds.
    """

    def __init__(self, *, seconds: int = 10, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._counts = np.zeros((seconds, _BUCKETS), dtype=np.int64)
        self._second = int(clock())
        self._lock = threading.Lock()

    def add(self, latencies_s: Iterable[float]) -> None:
        """Final labels came so many seconds after their samples, by a monotonic clock."""
        with self._lock:
            row = self._counts[self._turn()]
            for latency_s in latencies_s:
                row[_bucket(latency_s)] += 1

    def quantile_s(self, q: float) -> float | None:
        """The latency that a share `q` of the labels did not exceed, seconds; none where none came."""
        with self._lock:
            self._turn()
            totals = np.cumsum(self._counts.sum(axis=0))
        if totals[-1] == 0:
            return None
        bucket = int(np.searchsorted(totals, q * totals[-1]))
        return float(_LEAST_S * _RATIO**bucket)

    def _turn(self) -> int:
        """Forget what is too old; the row of the present second."""
        now = int(self._clock())
        for second in range(self._second + 1, min(now, self._second + self._seconds) + 1):
            self._counts[second % self._seconds] = 0
        if now > self._second + self._seconds:
            self._counts[:] = 0
        self._second = max(now, self._second)
        return self._second % self._seconds


def _bucket(latency_s: float) -> int:
    """The bucket whose upper bound is the least that is not below."""
    if not latency_s > _LEAST_S:
        return 0
    return min(_BUCKETS - 1, math.ceil(math.log(latency_s / _LEAST_S) / math.log(_RATIO) - 1e-9))
