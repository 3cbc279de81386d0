"""Payload bytes -> arrays, by the kind of the input. Whatever is wrong with them is a MessageError with a reason."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError
from services.messages import MessageError, Sample, parse_json
from services.pictures import decode_picture
from services.settings import InputSettings, LimitSettings

__all__ = ["Decoded", "Decoder", "Readings", "decode_readings"]

_PICTURE_CHANNELS: Final = (1, 3, 4)
_DTYPES: Final[dict[str, np.dtype[Any]]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}
_MARK_MAX: Final = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One whole sample: `array` (H, W, C) of the bundle's type; `captured_at` epoch seconds.

    With a `traceparent` of its own, `content` is its message without that: the same sample sent again has another.
    """

    id: str
    captured_at: float
    array: npt.NDArray[Any]
    traceparent: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Consecutive readings of one message: `rows` (n, C) float32; `mark` of the first row; `t` its time, epoch seconds.

    Row i has mark `mark + i * step`; `timed`: marks are times in microseconds. Without seq and time there is no mark.
    """

    rows: npt.NDArray[np.float32]
    mark: int | None
    step: int
    t: float | None
    timed: bool = False


class Decoder:
    """Decodes the payloads of one input for one bundle.

    Raises EdgeError if the input cannot feed this bundle.
    """

    def __init__(self, expected: Input, settings: InputSettings, limits: LimitSettings) -> None:
        self._expected, self._settings, self._limits = expected, settings, limits
        self._shape = tuple(expected.shape)
        self._dtype = _DTYPES[expected.dtype]
        self._raw_dtype = settings.dtype or expected.dtype
        self._raw_shape = tuple(settings.shape) if settings.shape is not None else self._shape
        if settings.kind == "sensor" and (self._shape[0] != 1 or expected.dtype != "float32"):
            raise EdgeError(f"input {settings.topic}: the bundle takes {self._told()}, which readings cannot make up")
        if settings.kind == "image" and self._shape[2] not in _PICTURE_CHANNELS:
            raise EdgeError(f"input {settings.topic}: the bundle takes {self._told()}, which no picture is")
        if settings.kind == "array" and math.prod(self._raw_shape) != math.prod(self._shape):
            raise EdgeError(f"input {settings.topic}: shape {self._raw_shape} does not fit the bundle's {self._told()}")
        if settings.kind == "array" and self._raw_dtype != expected.dtype:
            raise EdgeError(f"input {settings.topic}: {self._raw_dtype} arrays do not fit the bundle's {self._told()}")

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """A whole sample of an input of kind sample, image or array. Raises MessageError."""
        if self._settings.kind == "image":
            return Decoded(uuid.uuid4().hex, received_at, self._picture(payload))
        if self._settings.kind == "array":
            return Decoded(uuid.uuid4().hex, received_at, self._array(payload, self._raw_shape, self._raw_dtype))
        sample = Sample.decode(payload)
        if sample.kind == "image":
            array = self._picture(sample.data)
        else:
            array = self._array(sample.data, sample.shape or self._shape, sample.dtype or self._expected.dtype)
        content = None if sample.traceparent is None else replace(sample, traceparent=None).encode()
        return Decoded(sample.id, sample.captured_at, array, sample.traceparent, content)

    def readings(self, payload: bytes) -> Readings:
        """The readings of a message of an input of kind sensor. Raises MessageError."""
        return decode_readings(
            payload,
            channels=self._shape[2],
            rate_hz=self._expected.rate_hz,
            rows_max=self._limits.reading_rows_max,
        )

    def _picture(self, data: bytes) -> npt.NDArray[Any]:
        pixels = decode_picture(
            data, self._shape, resize=self._settings.fit == "resize", pixels_max=self._limits.image_pixels_max
        )
        return pixels if self._dtype == np.uint8 else pixels.astype(self._dtype)

    def _array(self, data: bytes, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        if dtype != self._expected.dtype:
            raise MessageError("wrong_dtype", f"{dtype} instead of {self._expected.dtype}")
        if shape not in (self._shape, self._raw_shape):
            raise MessageError("wrong_shape", f"{shape} instead of {self._shape}")
        expected_bytes = math.prod(shape) * self._dtype.itemsize
        if len(data) != expected_bytes:
            raise MessageError("wrong_size", f"{len(data)} bytes instead of {expected_bytes}")
        array = np.frombuffer(data, dtype=self._dtype).reshape(self._shape)
        if self._dtype.kind == "f" and not np.isfinite(array).all():
            raise MessageError("not_finite", "the array holds NaN or infinity")
        return array

    def _told(self) -> str:
        return f"{self._expected.dtype} {self._shape}"


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
