"""What fails while a trace is recorded is told in the log, and nothing else comes of it: no sample hangs on a trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from services.common.logs import Occasionally, get_logger

__all__ = ["harmless"]

P = ParamSpec("P")
R = TypeVar("R")

_occasionally: Final = Occasionally(burst=2, period_s=60.0)


def harmless(otherwise: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function answer `otherwise` where it would raise."""

    def guarded(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                _tell(error)
                return otherwise  # type: ignore[no-any-return]

        return call

    return guarded


def _tell(error: Exception) -> None:
    held_back = _occasionally.passes("trace_failed")
    if held_back is not None:
        get_logger("traces").warning(
            "trace_failed", error=f"{type(error).__name__}: {error}"[:300], held_back=held_back
        )
