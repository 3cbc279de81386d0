"""Ends the process when its worker hangs: what hangs is as dead as what crashed, and is treated alike."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from services.common.logs import get_logger

__all__ = ["Watchdog"]

_LOOKS = 20
_LOOK_S_MAX = 1.0
_GRACE = 1.25
_STILL_MAX = 2.0


class Watchdog:
    """A thread that looks at the worker's, from `start` to `stop`.

    Args:
        batch_timeout_s: The longest that a batch may be computed.
        on_hang: Called, in the watchdog's thread, when one takes longer; it does not return.
        on_still: Called likewise when the worker's thread has been at one step for twice as long without computing a
            batch: a commit on a disk that hangs.
        alarm: Set the kernel's alarm too, for code that hangs and lets no other thread run. Where the signal is not
            handled, it ends the process.
    """

    def __init__(
        self,
        *,
        batch_timeout_s: float,
        on_hang: Callable[[], None],
        on_still: Callable[[], None],
        alarm: bool = False,
    ) -> None:
        self._batch_timeout_s, self._on_hang, self._on_still, self._alarm = batch_timeout_s, on_hang, on_still, alarm
        self._begun_at: float | None = None
        self._moved_at = time.monotonic()
        self._log: Any = get_logger("edge")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The block is the computation of a batch."""
        self._begun_at = time.monotonic()
        try:
            yield
        finally:
            self._begun_at = None

    @property
    def still_max_s(self) -> float:
        """How long the worker may be at one step."""
        return _STILL_MAX * self._batch_timeout_s

    @property
    def still_s(self) -> float:
        """How long it has been at one step now."""
        return time.monotonic() - self._moved_at

    def moved(self) -> None:
        """The worker goes on to its next step."""
        self._moved_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self.moved()
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and the alarm."""
        self._stopping.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause_s = min(_LOOK_S_MAX, self._batch_timeout_s / _LOOKS)
        while True:
            if self._alarm:
                signal.setitimer(signal.ITIMER_REAL, _GRACE * self._batch_timeout_s + _LOOK_S_MAX)
            if self._stopping.wait(pause_s):
                break
            begun_at, still_s = self._begun_at, self.still_s
            busy_s = 0.0 if begun_at is None else time.monotonic() - begun_at
            if busy_s > self._batch_timeout_s:
                self._log.error(
                    "batch_hangs",
                    busy_s=round(busy_s, 1),
                    consequence="the process ends; its messages run alone when they come again",
                )
                self._on_hang()
                break
            if still_s > self.still_max_s:
                self._log.error(
                    "worker_hangs",
                    still_s=round(still_s, 1),
                    consequence="the process ends; what was not committed comes again",
                    remedy="see whether the disk of the spool answers",
                )
                self._on_still()
                break
        if self._alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
