"""Ends a process whose forward hangs for good: also one that keeps Python's lock, so that no other thread can run."""

from __future__ import annotations

import faulthandler
import sys
from typing import Final

__all__ = ["Watchdog"]

_GRACE_S: Final = 1.0


class Watchdog:
    """A timer outside Python. When it fires, it writes where each thread stands to stderr and ends with status 1.

    There is one in a process.
    """

    def arm(self, timeout_s: float) -> None:
        """Fire a little after `timeout_s`: whoever can end the process in a better way has had the time to."""
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(timeout_s + _GRACE_S, exit=True, file=sys.__stderr__)

    def disarm(self) -> None:
        """Do not fire."""
        faulthandler.cancel_dump_traceback_later()
