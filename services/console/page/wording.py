"""Numbers as the page writes them."""

from __future__ import annotations

import time
from typing import Final

from services.messages import Label

__all__ = ["NOTHING", "THIN", "ago", "count", "joules", "milliseconds", "percent", "place", "times"]

NOTHING: Final = "–"
THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_PREFIXES: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def count(value: float) -> str:
    """A whole number with separated thousands."""
    return f"{value:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0 to 1 as per cent."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}{THIN}%"


def joules(value: float | None) -> str:
    """Joules with a fitting prefix, three digits."""
    if value is None:
        return NOTHING
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s), _PREFIXES[-1] if value else (1.0, ""))
    return f"{value / scale:.3g}{THIN}{prefix}J"


def milliseconds(value_ms: float | None) -> str:
    """A duration given in milliseconds."""
    if value_ms is None:
        return NOTHING
    if value_ms >= 10_000:
        return f"{value_ms / 1000:.0f}{THIN}s"
    return f"{value_ms:.0f}{THIN}ms" if value_ms >= 10 else f"{value_ms:.1f}{THIN}ms"


def place(label: Label) -> str:
    """Where a label was given: an exit of the edge, or the cloud; or that the cloud's answer was reused."""
    if label.reason == "reused":
        return "reused"
    return "cloud" if label.exit == "cloud" else f"exit {label.exit}"


def times(factor: float | None) -> str:
    """A factor."""
    return NOTHING if factor is None else f"{factor:.1f}{THIN}×"


def ago(at: float | None) -> str:
    """How long a moment, epoch seconds, is past."""
    if at is None:
        return NOTHING
    past_s = max(0.0, time.time() - at)
    if past_s < 90:
        return f"{past_s:.0f} s ago"
    return f"{past_s / 60:.0f} min ago" if past_s < 5400 else f"{past_s / 3600:.0f} h ago"
