"""Arrays: raw little-endian bytes, of the shape and type that the settings name."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.messages import MessageError

__all__ = ["ArrayKind"]


class ArrayKind(SampleKind):
    """The bytes of an array. They carry no id: a redelivery is a second sample."""

    name = "array"

    def check(self) -> None:
        """Type and number of values must be the bundle's."""
        self.raw_dtype = self.settings.dtype or self.expected.dtype
        self.raw_shape = self.shape if self.settings.shape is None else tuple(self.settings.shape)
        if math.prod(self.raw_shape) != math.prod(self.shape):
            raise self.refuse(f"shape {self.raw_shape} does not fit the bundle's {self.wanted}")
        if self.raw_dtype != self.expected.dtype:
            raise self.refuse(f"{self.raw_dtype} arrays do not fit the bundle's {self.wanted}")

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The array, as if it was taken when it came."""
        return Decoded(uuid.uuid4().hex, received_at, self.values(payload, self.raw_shape, self.raw_dtype))

    def values(self, data: bytes, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """The values of an array of `shape` and `dtype`, as the bundle's (H, W, C). Raises MessageError."""
        if dtype != self.expected.dtype:
            raise MessageError("wrong_dtype", f"{dtype} instead of {self.expected.dtype}")
        if shape not in (self.shape, self.raw_shape):
            raise MessageError("wrong_shape", f"{shape} instead of {self.shape}")
        expected_bytes = math.prod(shape) * self.dtype.itemsize
        if len(data) != expected_bytes:
            raise MessageError("wrong_size", f"{len(data)} bytes instead of {expected_bytes}")
        array = np.frombuffer(data, dtype=self.dtype).reshape(self.shape)
        if self.dtype.kind == "f" and not np.isfinite(array).all():
            raise MessageError("not_finite", "the array holds NaN or infinity")
        return array
