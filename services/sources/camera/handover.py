"""Where the reading thread leaves a frame for the sending one: a place for one, and the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Handover"]

T = TypeVar("T")


class Handover(Generic[T]):
    """A place for one item between two threads.

    Attributes:
        late: Items that were replaced before anybody took them.
    """

    def __init__(self) -> None:
        self.late = 0
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Leave an item; one that still lies there is dropped and counted. Nothing once it is closed."""
        with self._changed:
            if self._closed:
                return
            self.late += self._item is not None
            self._item = item
            self._changed.notify_all()

    def put_when_free(self, item: T) -> None:
        """Leave an item once the place is free, or never, if it is closed before that."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is None)
            if not self._closed:
                self._item = item
                self._changed.notify_all()

    def take(self) -> T | None:
        """The item, once there is one. None, or the error that it was closed with, once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._error is not None:
                raise self._error
            return item

    def close(self, error: BaseException | None = None) -> None:
        """No more items come; the one that lies there can still be taken. The first call counts."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._changed.notify_all()
