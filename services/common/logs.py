"""Structured logging: one event a fact, to stderr, for people or as one JSON object a line."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

import structlog

from services.settings import LogSettings

__all__ = ["Occasionally", "configure", "get_logger"]


def configure(settings: LogSettings) -> None:
    """Set the format and the least severity for this process."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(room: str) -> Any:
    """The logger of one room of the house, as in `get_logger("edge")`; warnings only until `configure` was called."""
    if not structlog.is_configured():
        configure(LogSettings(level="warning"))
    return structlog.get_logger(room=room)


class Occasionally:
    """Lets an event of one kind through at most `burst` times in each `period_s`, so that a flood stays a trickle.

    What is held back is counted; the next event let through says how many there were.
    """

    def __init__(self, *, burst: int = 20, period_s: float = 10.0) -> None:
        self._burst, self._period_s = burst, period_s
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def passes(self, kind: str) -> int | None:
        """None to stay silent; else how many of this kind were held back since the last one let through."""
        now = time.monotonic()
        with self._lock:
            since, passed, held = self._kinds.get(kind, (now, 0, 0))
            if now - since >= self._period_s:
                since, passed = now, 0
            if passed >= self._burst:
                self._kinds[kind] = (since, passed, held + 1)
                return None
            self._kinds[kind] = (since, passed + 1, 0)
            return held
