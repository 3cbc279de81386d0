"""What stands in a cell: a number, or a time."""

from __future__ import annotations

import datetime as dt
from typing import Final

__all__ = ["number", "seconds"]

#: Numbers above these are no seconds since 1970 that anybody lives to see, but finer units.
_PER_S: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


def number(text: str) -> float | str:
    """The number; what is none stays as it is."""
    try:
        return float(text)
    except ValueError:
        return text


def seconds(text: str) -> float | str:
    """Seconds since 1970, of a number in these or a finer unit, or of ISO 8601; what is no time stays as it is.

    Without a zone it is UTC.
    """
    value = number(text)
    if isinstance(value, float):
        return value / next((per_s for bound, per_s in _PER_S if abs(value) >= bound), 1.0)
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
