"""Readings as JSON: numbers with a sequence number or a time."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.edge.ingest.decoding.field_paths import FieldPaths
from services.edge.ingest.decoding.kind import ReadingKind
from services.edge.ingest.decoding.paths import json_of
from services.edge.window import Readings
from services.messages import MessageError, brief

__all__ = ["SensorKind", "decode_readings"]

#: A mark and the marks of a message's further rows fit into SQLite's 64-bit integers.
_MARK_MAX: Final = 2**62
#: Longer text is no bare value, such as `21.5` or `unavailable`.
_BARE_BYTES_MAX: Final = 64
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


class SensorKind(ReadingKind):
    """`{"seq"?, "t"?, "values": ...}`, or JSON in which `fields` says where these are; with `join` one value each."""

    name = "sensor"
    takes = frozenset(("fields", "join"))

    def check(self) -> None:
        """Readings make up rows of float32: the bundle must take (1, W, C); and every path must compile."""
        super().check()
        fields, channels = self.settings.fields, self.shape[2]
        self._paths = FieldPaths(fields, self.refuse)
        self._mapped = fields.mapped
        if fields.image or fields.id:
            raise self.refuse("fields.image and fields.id are for kind 'image'; readings are known by seq or time")
        if len(fields.values) not in {0, 1, channels}:
            raise self.refuse(
                f"fields.values has {len(fields.values)} paths, and the bundle takes {channels} channels: a path for "
                "each, or one for all"
            )
        if isinstance(fields.missing, list) and len(fields.missing) != channels:
            raise self.refuse(f"fields.missing has {len(fields.missing)} entries, and the bundle takes {channels}")
        if self.settings.join is not None and fields.seq:
            raise self.refuse("fields.seq has no place beside join, which goes by time; take it out")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What each channel is called: by `join`, by the bundle, or by its path."""
        join = self.settings.join
        if join is not None and join.channels:
            return tuple(join.channels)
        return tuple(self.expected.channels or self.settings.fields.values or map(str, range(self.shape[2])))

    def readings(self, payload: bytes) -> Readings:
        """The readings of a message; NaN where a channel's last value is to be held. Raises MessageError."""
        rate_hz, rows_max = self.expected.rate_hz, self.limits.reading_rows_max
        if not self._mapped:
            return decode_readings(payload, channels=self.shape[2], rate_hz=rate_hz, rows_max=rows_max)
        document, paths = json_of(payload), self._paths
        paths.require_meant(document)
        rows = self._rows(document, rows_max)
        seq, t = paths.seq(document), paths.time_s(document)
        if not paths.values:  # in our own form but for what is mapped
            own_seq, own_t = _own_marks(document)
            seq, t = own_seq if seq is None else seq, own_t if t is None else t
        return _marked(rows, seq, t, rate_hz)

    def value(self, payload: bytes, channel: int) -> tuple[float | None, float | None]:
        """With `join`: the time (epoch seconds) and the value of one channel; None for what is not there.

        A bare number, also as text, or JSON as `fields` says, or our own with one value. Raises MessageError.
        """
        paths, path = self._paths, "the payload"
        try:
            document: Any = json_of(payload)
        except MessageError as error:
            document = payload[:_BARE_BYTES_MAX].decode(errors="replace").strip()
            bare = not paths.mapped and len(payload) <= _BARE_BYTES_MAX and document[:1] not in ("", "{", "[")
            if error.reason != "not_json" or not bare or not document.isprintable() or "\ufffd" in document:
                raise
        paths.require_meant(document)
        found, t = document, paths.time_s(document)
        if paths.values:
            chosen = paths.values[channel if len(paths.values) > 1 else 0]
            found, path = chosen.find(document), str(chosen)
        elif isinstance(document, dict):
            own = _own_readings(document, channels=1, rate_hz=None, rows_max=1)
            return (own.t if t is None else t), float(own.rows[0, 0])
        value = paths.reading(found, channel, path)
        if value is not None and abs(value) > _FLOAT32_MAX:
            raise MessageError("not_finite", f"{path}: beyond float32")
        return t, value

    def _rows(self, document: Any, rows_max: int) -> npt.NDArray[np.float32]:
        paths, channels = self._paths, self.shape[2]
        if not paths.values:
            if not isinstance(document, dict) or "values" not in document:
                raise MessageError("missing_field", "values; `fields.values` says where else they are")
            return self._checked(*_table(document["values"], channels, rows_max), "values")
        if len(paths.values) == 1 and channels > 1:
            found = paths.values[0].find(document)
            if not isinstance(found, list):
                raise MessageError("wrong_shape", f"{paths.values[0]}: {brief(found)} instead of {channels} values")
            return self._checked(*_table(found, channels, rows_max), str(paths.values[0]))
        columns = [path.find(document) for path in paths.values]
        lengths = {len(column) for column in columns if isinstance(column, list)}
        if len(lengths) > 1 or (lengths and any(not isinstance(c, list) and c is not None for c in columns)):
            told = ", ".join(str(len(c)) if isinstance(c, list) else "1" for c in columns)
            raise MessageError("wrong_shape", f"the channels have {told} values: as many rows each are needed")
        count = lengths.pop() if lengths else 1
        if count == 0:
            raise MessageError("wrong_shape", "no values")
        if count > rows_max:
            raise MessageError("too_many_rows", f"{count} rows, {rows_max} are allowed")
        table = zip(*(c if isinstance(c, list) else [c] * count for c in columns), strict=True)
        return self._checked([list(row) for row in table], count, "")

    def _checked(self, table: list[list[Any]], count: int, path: str) -> npt.NDArray[np.float32]:
        reading, names = self._paths.reading, [path or str(one) for one in self._paths.values]
        if path:
            names = [path] * self.shape[2]
        rows = np.empty((count, self.shape[2]), np.float64)
        for row, values in zip(rows, table, strict=True):
            for channel, found in enumerate(values):
                value = reading(found, channel, names[channel])
                row[channel] = math.nan if value is None else value
        if (np.abs(rows) > _FLOAT32_MAX).any():
            raise MessageError("not_finite", "values beyond float32")
        return rows.astype(np.float32)


def decode_readings(payload: bytes, *, channels: int, rate_hz: float | None, rows_max: int) -> Readings:
    """`{"seq"?, "t"?, "values": [C numbers] or [[C numbers], ...]}`; a bare number will do where C is 1.

    The mark is `seq`, else `t` in microseconds. Raises MessageError: not_json, missing_field, bad_field, wrong_shape,
    too_many_rows, not_finite, no_rate (rows marked by time alone need the bundle's rate).
    """
    document = json_of(payload)
    if b"true" in payload or b"false" in payload:
        _refuse_booleans(document)
    return _own_readings(document, channels=channels, rate_hz=rate_hz, rows_max=rows_max)


def _refuse_booleans(document: Any) -> None:
    """Numpy takes a boolean among numbers for one."""
    values = document.get("values") if isinstance(document, dict) else None
    rows = values if isinstance(values, list) else [values]
    if any(isinstance(one, bool) for row in rows for one in (row if isinstance(row, list) else [row])):
        raise MessageError("bad_field", "values are not all numbers: some are true or false")


def _own_readings(fields: Any, *, channels: int, rate_hz: float | None, rows_max: int) -> Readings:
    if not isinstance(fields, dict):
        raise MessageError("not_json", f"{type(fields).__name__} instead of an object")
    if "values" not in fields:
        raise MessageError("missing_field", "values; `fields` says where they are in JSON that is not ours")
    rows = _rows(fields["values"], channels, rows_max)
    seq, t = _own_marks(fields)
    return _marked(rows, seq, t, rate_hz)


def _own_marks(fields: dict[str, Any]) -> tuple[int | None, float | None]:
    seq, t = fields.get("seq"), fields.get("t")
    if seq is not None and (type(seq) is not int or not 0 <= seq < _MARK_MAX):
        raise MessageError("bad_field", f"seq: {brief(seq)}")
    if t is not None and (type(t) not in (int, float) or not 0 <= t < 1e11):
        raise MessageError("bad_field", f"t: {brief(t)}")
    return seq, None if t is None else float(t)


def _marked(rows: npt.NDArray[np.float32], seq: int | None, t: float | None, rate_hz: float | None) -> Readings:
    if seq is not None:
        return Readings(rows, seq, 1, t)
    if t is None:
        return Readings(rows, None, 1, None)
    if len(rows) > 1 and rate_hz is None:
        raise MessageError("no_rate", "several rows with one time need a bundle that knows their rate")
    return Readings(rows, round(t * 1e6), 1 if rate_hz is None else max(1, round(1e6 / rate_hz)), t, timed=True)


def _listed(values: Any, rows_max: int) -> list[Any]:
    """A list of rows, from a value, a row or a list of rows. Raises MessageError."""
    if not isinstance(values, list):
        values = [values]
    if not values:
        raise MessageError("wrong_shape", "no values")
    if not isinstance(values[0], list):
        values = [values]
    if len(values) > rows_max:
        raise MessageError("too_many_rows", f"{len(values)} rows, {rows_max} are allowed")
    listed: list[Any] = values
    return listed


def _table(values: Any, channels: int, rows_max: int) -> tuple[list[list[Any]], int]:
    """Rows of `channels` things each, of any kind; and how many rows."""
    rows = _listed(values, rows_max)
    for row in rows:
        if not isinstance(row, list) or len(row) != channels:
            raise MessageError("wrong_shape", f"a row is {brief(row)}, and the bundle takes {channels} channels")
    return rows, len(rows)


def _rows(values: Any, channels: int, rows_max: int) -> npt.NDArray[np.float32]:
    """Rows of `channels` numbers each."""
    values = _listed(values, rows_max)
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
