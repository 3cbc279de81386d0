"""Hard samples that may not wait for ever, by monotonic time; after a restart their time starts anew."""

from __future__ import annotations

import heapq
import time
from collections.abc import Container, Iterable

from services.edge.journal.records import Key

__all__ = ["Deadlines"]


class Deadlines:
    """A heap of keys by the moment at which their edge label becomes final."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []

    def add(self, keys: Iterable[tuple[Key, float]]) -> None:
        """Each key may wait for so many seconds from now."""
        now = time.monotonic()
        for key, deadline_s in keys:
            heapq.heappush(self._heap, (now + deadline_s, key))

    def __len__(self) -> int:
        return len(self._heap)

    def retain(self, keys: Container[Key]) -> None:
        """Forget all but these keys: the others have their answer."""
        self._heap = [entry for entry in self._heap if entry[1] in keys]
        heapq.heapify(self._heap)

    def expired(self, *, limit: int) -> list[Key]:
        """Take out up to `limit` keys whose time is over."""
        now = time.monotonic()
        taken: list[Key] = []
        while self._heap and self._heap[0][0] <= now and len(taken) < limit:
            taken.append(heapq.heappop(self._heap)[1])
        return taken
