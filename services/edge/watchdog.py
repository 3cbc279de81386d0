"""Ends the process when a batch outlasts its bound: what hangs is as dead as what crashed, and is treated alike."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from services.logs import get_logger

__all__ = ["Watchdog"]

_LOOKS = 20
_LOOK_S_MAX = 1.0
_GRACE = 1.25


class Watchdog:
    """A thread that looks at the worker's, from `start` to `stop`.

    Args:
        batch_timeout_s: The longest that a batch may be computed.
        on_hang: Called, in the watchdog's thread, when one takes longer; it does not return.
        alarm: Set the kernel's alarm too, for code that hangs and lets no other thread run. Where the signal is not
            handled, it ends the process.
    """

    def __init__(self, *, batch_timeout_s: float, on_hang: Callable[[], None], alarm: bool = False) -> None:
        self._batch_timeout_s, self._on_hang, self._alarm = batch_timeout_s, on_hang, alarm
        self._begun_at: float | None = None
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

    def start(self) -> None:
        """Start the thread."""
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
            begun_at = self._begun_at
            busy_s = 0.0 if begun_at is None else time.monotonic() - begun_at
            if busy_s > self._batch_timeout_s:
                self._log.error(
                    "batch_hangs",
                    busy_s=round(busy_s, 1),
                    consequence="the process ends; its messages run alone when they come again",
                )
                self._on_hang()
                break
        if self._alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
