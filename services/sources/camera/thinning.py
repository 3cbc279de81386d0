"""Which frames of a stream are due, at fewer a second than come."""

from __future__ import annotations

from typing import Final

__all__ = ["Thinning"]

_TOLERANCE_S: Final = 1e-6


class Thinning:
    """Lets through `rate_hz` frames a second at most; all, if none. Steady on average, whatever rate they come at."""

    def __init__(self, rate_hz: float | None) -> None:
        self._period_s = 0.0 if rate_hz is None else 1.0 / rate_hz
        self._next_s: float | None = None

    def due(self, time_s: float) -> bool:
        """Whether the frame of this time is sent. Times of one stream do not go back."""
        if self._next_s is None or time_s - self._next_s > self._period_s:
            self._next_s = time_s  # the first, or the first after a gap: what was missed is not made up for
        if time_s < self._next_s - _TOLERANCE_S:
            return False
        self._next_s += self._period_s
        return True
