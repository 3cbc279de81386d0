"""Structured logging: one event a fact, to stderr, for people or as one JSON object a line."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

import structlog

from services.settings import LogSettings

__all__ = ["Occasionally", "SparseLog", "configure", "get_logger"]


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


def get_logger(component: str) -> Any:
    """The logger of one part of the pipeline, as in `get_logger("edge")`; before `configure` it only warns."""
    if not structlog.is_configured():
        configure(LogSettings(level="warning"))
    return structlog.get_logger(component=component)


class SparseLog:
    """A logger for events that may come in floods: of each kind at most `burst` are written in each `period_s`.

    What is held back is counted, and the next event of its kind that is written says how many there were, as
    `held_back`. Safe from any thread.

    Args:
        component: The part of the pipeline, as for `get_logger`.
        burst: Events of one kind that are written in a period.
        period_s: Length of a period, seconds.
    """

    def __init__(self, component: str, *, burst: int = 20, period_s: float = 10.0) -> None:
        self._log = get_logger(component)
        self._occasionally = Occasionally(burst=burst, period_s=period_s)

    def info(self, event: str, /, *, kind: str | None = None, **fields: Any) -> None:
        """Write an event; `kind` where events of one name are counted apart."""
        self._write("info", event, kind, fields)

    def warning(self, event: str, /, *, kind: str | None = None, **fields: Any) -> None:
        """Write an event; `kind` where events of one name are counted apart."""
        self._write("warning", event, kind, fields)

    def _write(self, level: str, event: str, kind: str | None, fields: dict[str, Any]) -> None:
        held_back = self._occasionally.passes(event if kind is None else kind)
        if held_back is not None:
            getattr(self._log, level)(event, **fields, held_back=held_back)


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
