"""Messages that are to be published: a bounded queue between the threads that have them and the one that sends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.mqtt.messages import Message, Outcome

__all__ = ["Publish", "PublishQueue"]


@dataclass(slots=True, eq=False)
class Publish:
    """A message and whom to tell what became of it."""

    message: Message
    on_done: Callable[[Outcome], None] | None = None


class PublishQueue:
    """What is queued or sent and not acknowledged is *owed*; at most `owed_max` at a time."""

    def __init__(self, owed_max: int) -> None:
        self._owed_max = owed_max
        self._owed = self._waiting = 0
        self._room = threading.Condition()
        self._queue: deque[Publish] = deque()

    @property
    def owed(self) -> int:
        """How many are queued or not acknowledged."""
        return self._owed

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, publish: Publish, timeout_s: float) -> bool:
        """Queue one. False if there is no room for it within `timeout_s`."""
        with self._room:
            if self._owed >= self._owed_max and not (
                timeout_s > 0 and self._wait_for(lambda: self._owed < self._owed_max, timeout_s)
            ):
                return False
            self._owed += 1
        self._queue.append(publish)
        return True

    def push_in(self, publish: Publish) -> None:
        """Queue one as the next, room or not."""
        with self._room:
            self._owed += 1
        self._queue.appendleft(publish)

    def take(self) -> Publish:
        """The next to be sent; it stays owed. Raises IndexError where there is none."""
        return self._queue.popleft()

    def put_back(self, publishes: Iterable[Publish]) -> None:
        """These were taken and are to be sent after all, first and in this order."""
        self._queue.extendleft(reversed(list(publishes)))

    def finish(self, publish: Publish, outcome: Outcome) -> None:
        """One is no longer owed; tell whoever wants to know."""
        with self._room:
            self._owed -= 1
            if self._waiting:
                self._room.notify_all()
        if publish.on_done is not None:
            publish.on_done(outcome)

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is owed. False if that takes longer."""
        with self._room:
            return self._wait_for(lambda: self._owed == 0, timeout_s)

    def _wait_for(self, satisfied: Callable[[], bool], timeout_s: float) -> bool:
        """With the lock held."""
        self._waiting += 1
        try:
            return self._room.wait_for(satisfied, timeout_s)
        finally:
            self._waiting -= 1
