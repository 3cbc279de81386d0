"""Degraded devices: what a noisy, unfocused or fogged-in camera, or a worn sensor, would have delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from services.sources.errors import SourceError

Array = npt.NDArray[Any]
Kind = Literal["noise", "blur", "fog"]


@dataclass(frozen=True)
class Degradation:
    """One way of spoiling samples, by a strength between 0 (not at all) and 1 (hardly to be recognised).

    noise: Gaussian; its deviation is `strength` times half the range of a pixel, or the channel's own deviation.
    blur: each value becomes the mean of its neighbours, up to 3 pixels or 12 readings away.
    fog: I = J t + A (1 - t) with white airlight A and a slowly varying transmission t (Koschmieder 1924).
    """

    kind: Kind
    strength: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "noise" or "noise:0.5". Raises SourceError."""
        kind, _, strength = text.partition(":")
        try:
            value = float(strength) if strength else 0.4
        except ValueError:
            value = float("nan")
        if kind not in get_args(Kind) or not 0 <= value <= 1:
            raise SourceError(f"degradation {text!r}: write KIND or KIND:STRENGTH, e.g. noise:0.4 (0 to 1); "
                              f"kinds are {', '.join(get_args(Kind))}")  # fmt: skip
        return cls(kind, value)  # type: ignore[arg-type]

    def pictures(self, x: npt.NDArray[np.uint8], *, seed: int = 0) -> npt.NDArray[np.uint8]:
        """Spoil pictures (N, H, W, C) uint8; equal pictures and seeds are spoilt equally."""
        values: Array = x.astype(np.float32)
        random = np.random.default_rng(seed)
        if self.kind == "noise":
            values += random.normal(0.0, self.strength * 127.5, x.shape).astype(np.float32)
        elif self.kind == "blur":
            reach = max(1, round(self.strength * min(3, min(x.shape[1:3]) // 2)))
            for axis in (1, 2):
                values = _blurred(values, axis=axis, reach=reach, weight=self.strength)
        else:
            through = 1.0 - self.strength * (0.6 + 0.4 * _slow_field(x.shape, random))
            values = values * through + 255.0 * (1.0 - through)
        spoilt: npt.NDArray[np.uint8] = np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
        return spoilt

    def readings(self, x: npt.NDArray[np.float32], *, deviation: Array, seed: int = 0) -> npt.NDArray[np.float32]:
        """Spoil readings (T, C) float32; `deviation` (C,) is each channel's usual one. Raises SourceError."""
        if self.kind == "noise":
            random = np.random.default_rng(seed)
            return (x + random.normal(0.0, 1.0, x.shape) * deviation * self.strength).astype(np.float32)
        if self.kind == "blur":
            reach = max(1, round(12 * self.strength))
            return _blurred(x.astype(np.float32), axis=0, reach=reach, weight=self.strength).astype(np.float32)
        raise SourceError(f"sensors know no {self.kind}; take noise or blur")


def _blurred(x: Array, *, axis: int, reach: int, weight: float) -> Array:
    """Mix every value with the mean of its neighbours along one axis; borders repeat."""
    padding = [(reach, reach) if i == axis else (0, 0) for i in range(x.ndim)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, padding, mode="edge"), 2 * reach + 1, axis=axis)
    mixed: Array = x * (1.0 - weight) + windows.mean(axis=-1) * weight
    return mixed


def _slow_field(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """A field (N, H, W, 1) in 0..1 that changes slowly over each picture: four random corners, linear between them."""
    count, height, width = shape[:3]
    corners = random.random((count, 2, 2))
    down = np.linspace(0.0, 1.0, height)[None, :, None]
    across = np.linspace(0.0, 1.0, width)[None, None, :]
    top = corners[:, 0, 0, None, None] * (1 - across) + corners[:, 0, 1, None, None] * across
    bottom = corners[:, 1, 0, None, None] * (1 - across) + corners[:, 1, 1, None, None] * across
    field: Array = (top * (1 - down) + bottom * down)[..., None]
    return field.astype(np.float32)
