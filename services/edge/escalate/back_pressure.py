"""How much may wait in the feature stream before hard samples keep the edge's label."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.feature_stream import QueueState
from services.settings import EdgeSettings

__all__ = ["QueueLimits", "QueueWatch"]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Entries, bytes of memory and age of the oldest entry (seconds; None for any) that the stream may reach."""

    length_max: int
    bytes_max: int
    age_max_s: float | None

    @classmethod
    def of(cls, settings: EdgeSettings) -> QueueLimits:
        """Those of the settings."""
        return cls(settings.queue_length_max, settings.queue_bytes_max, settings.queue_age_max_s)


class QueueWatch:
    """The stream as last seen, with what was added to it since. For one thread."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._length = self._bytes = self._age_s = 0.0
        self._seen_at = 0.0
        self._entry_bytes = 0.0

    @property
    def length(self) -> float:
        """Entries, of all sites, as far as known."""
        return self._length

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be added: a limit is reached."""
        return self.fill >= 1.0

    @property
    def fill(self) -> float:
        """How near the nearest limit is: 0 (empty) to 1 (reached) and more."""
        limits = self._limits
        aged_s = self._age_s + time.monotonic() - self._seen_at if self._age_s else 0.0
        age = 0.0 if limits.age_max_s is None else aged_s / limits.age_max_s
        return max(self._length / limits.length_max, self._bytes / limits.bytes_max, age)

    def see(self, state: QueueState) -> None:
        """The stream is like this now."""
        self._length, self._age_s, self._seen_at = state.length, state.oldest_age_s, time.monotonic()
        if state.bytes is None:  # not for everyone to ask
            self._bytes = state.length * self._entry_bytes
        else:
            self._bytes = state.bytes
            if state.length:
                self._entry_bytes = state.bytes / state.length

    def add(self, message_bytes: int) -> None:
        """An entry was added; what Redis needs for it beyond the message is known from the others."""
        self._entry_bytes = max(self._entry_bytes, message_bytes)
        self._length += 1
        self._bytes += self._entry_bytes
