"""The state of the spool's disk: while it cannot be written nothing is acknowledged, and what was decided is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from services.common.backoff import BackOff
from services.common.logs import get_logger
from services.edge.errors import StorageError
from services.metrics import EdgeMetrics

__all__ = ["Disk"]


class Disk:
    """Who could not write the journal the last time, and why. Safe from any thread.

    Each writer has a name of its own: a small write may succeed on a disk that is too full for another's.
    """

    def __init__(self, *, metrics: EdgeMetrics) -> None:
        self._failing = metrics.storage_failing
        self._log: Any = get_logger("edge")
        self._lock = threading.Lock()
        self._causes: dict[str, str] = {}

    @property
    def cause(self) -> str | None:
        """Why something cannot be written; None while all can."""
        return next(iter(self._causes.copy().values()), None)

    def failed(self, what: str, error: StorageError) -> None:
        """It could not be stored."""
        with self._lock:
            if not self._causes:
                self._log.error("storage_failed", cause=str(error), remedy="make room on the disk of the spool")
            self._causes[what] = str(error)
            self._failing.set(1)

    def worked(self, what: str) -> None:
        """It could be stored, or there was nothing left to store."""
        if what not in self._causes:
            return
        with self._lock:
            self._causes.pop(what, None)
            if not self._causes:
                self._failing.set(0)
                self._log.info("storage_works_again")

    def until_stored(
        self, what: str, store: Callable[[], None], *, give_up: Callable[[], bool], pause: Callable[[], None]
    ) -> bool:
        """Try until it is stored, with growing pauses in which `pause`, which sleeps a little, is called in turns.

        False once `give_up()` is true. What else `store` raises, it raises.
        """
        back_off = BackOff()
        while True:
            try:
                store()
            except StorageError as error:
                self.failed(what, error)
            else:
                self.worked(what)
                return True
            until = time.monotonic() + back_off.next_s()
            while time.monotonic() < until:
                if give_up():
                    return False
                pause()
