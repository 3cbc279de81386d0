"""Arrays: raw little-endian bytes, of the shape and type that the settings name."""

from __future__ import annotations

import math
import uuid
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.edge.ingest.decoding.kind import DTYPES, Decoded, SampleKind
from services.edge.ingest.decoding.text import bytes_of_text
from services.messages import MessageError, appearance, file_kind

__all__ = ["ArrayKind"]

_TOP: Final = {"0..255": 255.0, "0..1": 1.0}
_SLACK: Final = 1e-3


class ArrayKind(SampleKind):
    """The bytes of an array. They carry no id: a redelivery is a second sample."""

    name = "array"
    takes = frozenset(("encoding", "channels", "layout", "scale"))

    def check(self) -> None:
        """The values must make up the bundle's input, axis by axis."""
        settings = self.settings
        self.raw_dtype = settings.dtype or self.expected.dtype
        height, width, channels = self.shape
        chw = settings.layout == "chw"
        #: What is sent, with all its axes.
        self._sent = (channels, height, width) if chw else self.shape
        self.raw_shape = self._sent if settings.shape is None else tuple(settings.shape)
        if math.prod(self.raw_shape) != math.prod(self.shape):
            raise self.refuse(f"shape {self.raw_shape} does not fit the bundle's {self.wanted}")
        if not _merges(self._sent, self.raw_shape):
            other = (channels, height, width) if not chw else self.shape
            remedy = f'; layout = "{"hwc" if chw else "chw"}" takes it' if _merges(other, self.raw_shape) else ""
            detail = f"shape {self.raw_shape} is not the bundle's {self.wanted} with layout {settings.layout!r}{remedy}"
            raise self.refuse(detail)
        if self.raw_dtype != self.expected.dtype and settings.scale is None:
            raise self.refuse(
                f"{self.raw_dtype} arrays do not fit the bundle's {self.wanted}; `scale` brings them to 0 to 255"
            )
        self._as_it_is = not chw and settings.channels == "rgb" and settings.scale is None
        if settings.channels != "rgb" and self.shape[2] not in (3, 4):
            raise self.refuse(f"channels = {settings.channels!r} needs 3 or 4 channels, not {self.shape[2]}")

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The array, as if it was taken when it came."""
        data = payload if self.settings.encoding == "binary" else bytes_of_text(payload)
        return Decoded(uuid.uuid4().hex, received_at, self.values(data, self.raw_shape, self.raw_dtype))

    def values(self, data: bytes, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """The values of an array of `shape` and `dtype`, as the bundle's (H, W, C). Raises MessageError."""
        if dtype != self.expected.dtype and self.settings.scale is None:
            raise MessageError("wrong_dtype", f"{dtype} instead of {self.expected.dtype}; see `scale`")
        if shape not in (self._sent, self.raw_shape):
            raise MessageError("wrong_shape", f"{shape} instead of {self._sent}")
        sent_dtype = DTYPES[dtype]
        expected_bytes = math.prod(shape) * sent_dtype.itemsize
        if len(data) != expected_bytes:
            looks = f"; it {appearance(data)}" if file_kind(data) or data[:1] in b"{[d" else ""
            raise MessageError("wrong_size", f"{len(data)} bytes instead of {expected_bytes}{looks}")
        array: npt.NDArray[Any] = np.frombuffer(data, dtype=sent_dtype).reshape(self._sent)
        if sent_dtype.kind == "f" and not np.isfinite(array).all():
            raise MessageError("not_finite", "the array holds NaN or infinity")
        return array if self._as_it_is else self._arranged(array)

    def _arranged(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Axes, colours and range as the bundle has them."""
        if self.settings.layout == "chw":
            array = array.transpose(1, 2, 0)
        if self.settings.channels == "bgr":
            array = array[..., [2, 1, 0, *range(3, self.shape[2])]]
        if self.settings.scale is not None:
            array = self._scaled(array, _TOP[self.settings.scale])
        return np.ascontiguousarray(array, dtype=self.dtype)

    def _scaled(self, array: npt.NDArray[Any], top: float) -> npt.NDArray[Any]:
        """Values from 0 to `top` as 0 to 255."""
        least, most = float(array.min()), float(array.max())
        if least < -_SLACK * top or most > (1 + _SLACK) * top:
            detail = f"values from {least:g} to {most:g}, scale = {self.settings.scale!r} takes 0 to {top:g}"
            raise MessageError("out_of_range", detail)
        scaled = np.clip(array * np.float32(255.0 / top), 0.0, 255.0)
        return np.rint(scaled) if self.dtype.kind == "u" else scaled


def _merges(whole: tuple[int, ...], merged: tuple[int, ...]) -> bool:
    """Whether `merged` is `whole` with neighbouring axes made one, or axes of length 1 more or fewer."""
    axes = iter([axis for axis in whole if axis != 1])
    for length in (axis for axis in merged if axis != 1):
        product = 1
        while product < length:
            product *= next(axes, length + 1)
        if product != length:
            return False
    return next(axes, None) is None
