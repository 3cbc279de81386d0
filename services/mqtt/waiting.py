"""Waiting for a socket or for another thread, whichever comes first."""

from __future__ import annotations

import contextlib
import os
import selectors
from typing import Any, Final

__all__ = ["READ", "WRITE", "Waiter"]

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE


class Waiter:
    """One thread waits; any other may wake it. A wake is a system call only while somebody sleeps."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._selector.register(self._wake_out, READ)
        self._watched: tuple[Any, int] | None = None
        self._asleep = False

    def about_to_sleep(self) -> None:
        """From now on `wake` counts. Look at what others left once more after this, then `wait`."""
        self._asleep = True

    def wait(self, timeout_s: float, sock: Any = None, events: int = 0) -> int:
        """Which of `events` the socket is ready for; 0 after a wake or `timeout_s`."""
        self._watch(sock, events)
        ready = 0
        for key, found in self._selector.select(timeout_s):
            if key.fd == self._wake_out:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_out, 4096)
            else:
                ready |= found
        self._asleep = False
        return ready

    def wake(self) -> None:
        """Let the thread that waits go on."""
        if self._asleep:
            with contextlib.suppress(OSError):
                os.write(self._wake_in, b"\0")

    def forget(self) -> None:
        """Stop watching the socket; to be called before it is closed."""
        self._watch(None, 0)

    def close(self) -> None:
        """Close the files; nobody may wait any more."""
        self._asleep = False
        self._selector.close()
        os.close(self._wake_out)
        os.close(self._wake_in)

    def _watch(self, sock: Any, events: int) -> None:
        wanted = (sock, events) if events else None
        if wanted == self._watched:
            return
        if self._watched is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._watched[0])
        self._watched = wanted
        if wanted is not None:
            self._selector.register(*wanted)
