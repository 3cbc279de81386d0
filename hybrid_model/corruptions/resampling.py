"""Pictures (N, H, W, C) float32 moved, stretched and smeared; sums in a fixed order, without BLAS, so that bits agree.

What lies outside of a picture is its mirror image, the border pixel not repeated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
_KEPT = 3.0  # a Gaussian is cut off after so many deviations, as is common


def filtered(x: Array, kernel: npt.NDArray[np.float64]) -> Array:
    """Convolution of every channel with a kernel (2 r + 1, 2 r + 1) or (2 r + 1, 1) or (1, 2 r + 1)."""
    down, across = kernel.shape[0] // 2, kernel.shape[1] // 2
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (down, down), (across, across), (0, 0)), mode="reflect")
    out = np.zeros_like(x)
    for row, column in np.argwhere(kernel > 0):
        out += np.float32(kernel[row, column]) * padded[:, row : row + height, column : column + width]
    return out


def gaussian_kernel(deviation: float, reach: int | None = None) -> npt.NDArray[np.float64]:
    """Weights (2 r + 1,) of a Gaussian with this deviation in pixels, whose sum is 1."""
    reach = max(1, math.ceil(_KEPT * deviation)) if reach is None else reach
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    found: npt.NDArray[np.float64] = weights / weights.sum()
    return found


def gaussian_blurred(x: Array, deviation: float) -> Array:
    """Blurred by a Gaussian of this deviation in pixels."""
    weights = gaussian_kernel(deviation)
    return filtered(filtered(x, weights[:, None]), weights[None, :])


def smeared(x: Array, reach: float, deviation: float, angles: Array) -> Array:
    """Moved while it was exposed: each picture's own angle (N,) in radians, weights of half a Gaussian along the way.

    Up to 2 `reach` pixels far, to the nearest pixel; `deviation` in pixels. The border repeats.
    """
    steps = np.arange(min(2 * math.ceil(reach), math.ceil(4 * deviation)) + 1)
    weights = np.exp(-0.5 * (steps / deviation) ** 2)
    weights /= weights.sum()
    far, (height, width) = int(steps[-1]), x.shape[1:3]
    padded = np.pad(x, ((0, 0), (far, far), (far, far), (0, 0)), mode="edge")
    out = np.zeros_like(x)
    for number, angle in enumerate(angles.astype(np.float64)):
        downs, acrosses = np.rint(steps * math.sin(angle)), np.rint(steps * math.cos(angle))
        for weight, down, across in zip(weights, downs.astype(int) + far, acrosses.astype(int) + far, strict=True):
            out[number] += np.float32(weight) * padded[number, down : down + height, across : across + width]
    return out


def stretched(x: Array, factor: float) -> Array:
    """Enlarged about the centre by a factor of at least 1 and cut to its size, linear between pixels."""
    for axis in (1, 2):
        size = x.shape[axis]
        centre = (size - 1) / 2
        places = centre + (np.arange(size) - centre) / factor
        below = np.minimum(np.floor(places).astype(np.int64), size - 2)
        share = (places - below).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(x.ndim)])
        lower = x.take(below, axis=axis)
        x = lower + share * (x.take(below + 1, axis=axis) - lower)
    return x


def sampled(x: Array, rows: Array, columns: Array) -> Array:
    """The pictures at places (N, H, W) between pixels, bilinear."""
    (top, down), (left, across) = _between(rows, x.shape[1]), _between(columns, x.shape[2])
    picture = np.arange(len(x))[:, None, None]
    down, across = down[..., None], across[..., None]
    upper = x[picture, top, left] * (1 - across) + x[picture, top, left + 1] * across
    lower = x[picture, top + 1, left] * (1 - across) + x[picture, top + 1, left + 1] * across
    found: Array = upper * (1 - down) + lower * down
    return found


def _between(places: Array, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Places, mirrored into 0 .. size - 1, as the pixel before and the share of the one behind."""
    period = 2 * (size - 1)
    inside = np.mod(places, np.float32(period))
    inside = np.where(inside > size - 1, period - inside, inside)
    before = np.minimum(np.floor(inside).astype(np.int64), size - 2)
    return before, (inside - before).astype(np.float32)
