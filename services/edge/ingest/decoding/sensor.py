"""Readings as JSON: numbers with a sequence number or a time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.edge.ingest.decoding.kind import ReadingKind
from services.edge.window import Readings
from services.messages import MessageError, parse_json

__all__ = ["SensorKind", "decode_readings"]

#: A mark and the marks of a message's further rows fit into SQLite's 64-bit integers.
_MARK_MAX: Final = 2**62


class SensorKind(ReadingKind):
    """`{"seq"?, "t"?, "values": ...}`, or a bare number for one channel."""

    name = "sensor"

    def readings(self, payload: bytes) -> Readings:
        """The readings of a message."""
        return decode_readings(
            payload,
            channels=self.shape[2],
            rate_hz=self.expected.rate_hz,
            rows_max=self.limits.reading_rows_max,
        )


def decode_readings(payload: bytes, *, channels: int, rate_hz: float | None, rows_max: int) -> Readings:
    """`{"seq"?, "t"?, "values": [C numbers] or [[C numbers], ...]}`; a bare number will do where C is 1.

    The mark is `seq`, else `t` in microseconds. Raises MessageError: not_json, missing_field, bad_field, wrong_shape,
    too_many_rows, not_finite, no_rate (rows marked by time alone need the bundle's rate).
    """
    fields = parse_json(payload)
    if not isinstance(fields, dict):
        raise MessageError("not_json", f"{type(fields).__name__} instead of an object")
    if "values" not in fields:
        raise MessageError("missing_field", "values")
    rows = _rows(fields["values"], channels, rows_max)
    seq, t = fields.get("seq"), fields.get("t")
    if seq is not None and (type(seq) is not int or not 0 <= seq < _MARK_MAX):
        raise MessageError("bad_field", f"seq: {seq!r}"[:200])
    if t is not None and (type(t) not in (int, float) or not 0 <= t < 1e11):
        raise MessageError("bad_field", f"t: {t!r}"[:200])
    if seq is not None:
        return Readings(rows, seq, 1, None if t is None else float(t))
    if t is None:
        return Readings(rows, None, 1, None)
    if len(rows) > 1 and rate_hz is None:
        raise MessageError("no_rate", "several rows with one time need a bundle that knows their rate")
    return Readings(rows, round(t * 1e6), 1 if rate_hz is None else max(1, round(1e6 / rate_hz)), float(t), timed=True)


def _rows(values: Any, channels: int, rows_max: int) -> npt.NDArray[np.float32]:
    if not isinstance(values, list):
        values = [values]
    if not values:
        raise MessageError("wrong_shape", "no values")
    if not isinstance(values[0], list):
        values = [values]
    if len(values) > rows_max:
        raise MessageError("too_many_rows", f"{len(values)} rows, {rows_max} are allowed")
    try:
        found = np.array(values)
    except (ValueError, OverflowError):
        raise MessageError("wrong_shape", "rows of different lengths") from None
    if found.dtype.kind not in "if":
        raise MessageError("bad_field", "values are not all numbers")
    if found.ndim != 2 or found.shape[1] != channels:
        raise MessageError("wrong_shape", f"rows of shape {found.shape[1:]} instead of ({channels},)")
    with np.errstate(over="ignore"):
        rows = found.astype(np.float32)
    if not np.isfinite(rows).all():
        raise MessageError("not_finite", "values beyond float32")
    return rows
