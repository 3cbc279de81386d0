"""A column of times as epoch seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.files import EMPTY
from hybrid_model.data.readings.form import TimeUnit

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PER_S", "named_unit", "seconds", "unit_of"]

#: How many of each unit make a second.
PER_S: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
#: Epoch times of one unit are below, of the next above; seconds are below the first until the year 5138.
_BOUNDS: tuple[tuple[float, TimeUnit], ...] = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))


def named_unit(column: str) -> TimeUnit | None:
    """The unit that a column's name ends in: `time_ms`."""
    suffix = column.rpartition("_")[2].lower()
    return next((unit for unit in PER_S if unit == suffix and "_" in column), None)


def unit_of(time: float) -> TimeUnit:
    """The unit in which a number is a sensible epoch time; small numbers are seconds."""
    return next((unit for bound, unit in _BOUNDS if abs(time) < bound), "ns")


def seconds(column: pa.Array, unit: TimeUnit | None) -> tuple[npt.NDArray[np.float64], TimeUnit | None]:
    """A column (text, numbers or Arrow's timestamps) as epoch seconds (N,), NaN where empty, and the unit of its
    numbers, None for written dates.

    Text is numbers, or dates as in ISO 8601, with a zone or without (then UTC). Raises ReadingsError.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        return _dates(column.cast(pa.timestamp("ns", tz=kind.tz))), None
    if pa.types.is_date(kind):
        return _dates(column.cast(pa.timestamp("ns"))), None
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        text = pc.if_else(pc.is_in(text, pa.array(EMPTY)), pa.scalar(None, pa.string()), text)
        first = next((one.as_py() for one in text if one.is_valid), "0")
        try:
            if not _is_number(first):
                zoned = first.endswith(("Z", "z")) or "+" in first or first.count("-") > 2
                return _dates(text.cast(pa.timestamp("ns", tz="UTC" if zoned else None))), None
            if "," in first:
                text = pc.replace_substring(text, ",", ".")
            column = text.cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise ReadingsError(f"{error}: times are numbers (epoch) or ISO 8601, all of one kind") from None
    found = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if unit is None:
        some = found[np.isfinite(found)]
        unit = unit_of(float(some[0])) if len(some) else "s"
    return found / PER_S[unit], unit


def _dates(column: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    empty = column.is_null().to_numpy(zero_copy_only=False)
    whole = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(empty, np.nan, whole / 1e9)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
