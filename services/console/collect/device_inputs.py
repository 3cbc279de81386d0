"""What devices sent, kept as it came until somebody looks: payloads of samples, and windows of readings."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from services.messages import MessageError, parse_json

__all__ = ["DeviceInput", "ReadingTails"]

_DEVICES_MAX: Final = 512
_ROWS_MAX: Final = 4096
_CHANNELS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class DeviceInput:
    """An input: an image file, an array, or a window of readings.

    `data` is the file or the array's bytes, row-major and little-endian, of `shape` and `dtype`; windows are of shape
    (rows, channels), float32. An image's shape and type are in its file.
    """

    kind: Literal["image", "array", "window"]
    data: bytes
    shape: tuple[int, ...] | None = None
    dtype: str | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


class ReadingTails:
    """The latest rows of each device, from which a window is cut when its label comes.

    Args:
        length: Rows of a window.
        rate_hz: Readings a second, for rows that share one time; None where it is unknown.
    """

    def __init__(self, length: int, rate_hz: float | None) -> None:
        self._length, self._period_s = length, 0.0 if rate_hz is None else 1.0 / rate_hz
        self._tails: OrderedDict[str, deque[tuple[float | None, npt.NDArray[np.float32]]]] = OrderedDict()

    def take(self, device: str, payload: bytes) -> None:
        """Readings have come. Raises MessageError for what are none."""
        fields = parse_json(payload)
        if not isinstance(fields, dict):
            raise MessageError("not_json", f"{type(fields).__name__} instead of an object")
        values: Any = fields.get("values")
        try:
            rows = np.atleast_2d(np.asarray(values, dtype=np.float32))
        except (ValueError, TypeError, OverflowError):
            raise MessageError("wrong_shape", "values are no rows of numbers") from None
        if rows.ndim != 2 or not 0 < rows.shape[1] <= _CHANNELS_MAX or not 0 < len(rows) <= _ROWS_MAX:
            raise MessageError("wrong_shape", f"rows of shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise MessageError("not_finite", "values that are no float32")
        t = fields.get("t")
        first_t = float(t) if isinstance(t, int | float) else None
        tail = self._tails.setdefault(device, deque(maxlen=4 * self._length))
        self._tails.move_to_end(device)
        if len(self._tails) > _DEVICES_MAX:
            self._tails.popitem(last=False)
        tail.extend((None if first_t is None else first_t + i * self._period_s, row) for i, row in enumerate(rows))

    def window(self, device: str, ended_at: float) -> DeviceInput | None:
        """The window whose last row has the time `ended_at` (epoch seconds); without times the latest rows."""
        tail = self._tails.get(device)
        if not tail:
            return None
        slack_s = self._period_s / 2
        rows = [row for at, row in tail if at is None or at <= ended_at + slack_s][-self._length :]
        if len(rows) < self._length or len({len(row) for row in rows}) > 1:
            return None
        return DeviceInput("window", np.stack(rows).astype("<f4").tobytes(), (self._length, len(rows[0])), "float32")
