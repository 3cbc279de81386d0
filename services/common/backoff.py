"""Pauses that grow while something keeps failing, each a little different so that many workers do not retry at once."""

from __future__ import annotations

import random

__all__ = ["BackOff"]


class BackOff:
    """Exponential back-off with jitter. For one thread.

    Args:
        first_s: The first pause, seconds, before jitter.
        most_s: No pause is longer.
    """

    def __init__(self, *, first_s: float = 0.1, most_s: float = 5.0) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def next_s(self) -> float:
        """Count a failure, and return the seconds to wait: doubled each time, between half of that and all of it."""
        doubled_s = self._first_s * 2.0 ** min(self._failures, 32)
        self._failures += 1
        return min(self._most_s, doubled_s) * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: begin with the first pause again."""
        self._failures = 0
