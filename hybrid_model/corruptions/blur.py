"""Defocus, frosted glass, motion and zoom. Pictures in 0..1 in and out; severity counts from 0; lengths for 32x32."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hybrid_model.corruptions.pictures import Pictures, scale
from hybrid_model.corruptions.resampling import filtered, gaussian_blurred, gaussian_kernel, smeared, stretched
from hybrid_model.corruptions.streams import Streams

#: Radius of the disk, deviation of the Gaussian that softens its rim, in pixels.
_DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
#: Deviation of the blur before and after, farthest exchange in pixels, rounds.
_GLASS = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
#: Half the length of the way, deviation along it, in pixels.
_MOTION = ((6.0, 1.0), (6.0, 1.5), (6.0, 2.0), (8.0, 2.0), (9.0, 2.5))
#: The greatest enlargement; all steps of 0.01 below it are averaged.
_ZOOM = (1.05, 1.10, 1.15, 1.20, 1.25)


def defocus_blur(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """The picture out of focus: convolved with a disk whose rim is softened."""
    del streams
    radius, softness = (length * scale(x) for length in _DEFOCUS[severity])
    return filtered(x, _disk(radius, softness))


def glass_blur(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Frosted glass: blurred, each pixel taken from a place nearby, and blurred again.

    The publication tells of exchanges. Made in turn, they carry pixels far along; its strengths fit values that are
    taken from up to `farthest` rows above and columns to the left, or fewer than that below and to the right.
    """
    deviation, farthest, rounds = _GLASS[severity]
    deviation, reach = deviation * scale(x), round(farthest * scale(x))
    n, height, width, _ = x.shape
    picture = np.arange(n)[:, None, None]
    shown = gaussian_blurred(x, deviation)
    for _ in range(rounds):
        moves = streams.integers(-reach, reach, height, width, 2)
        rows = np.clip(np.arange(height)[:, None] + moves[..., 0], 0, height - 1)
        columns = np.clip(np.arange(width) + moves[..., 1], 0, width - 1)
        shown = shown[picture, rows, columns]
    return gaussian_blurred(shown, deviation)


def motion_blur(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """The camera moved, within 45 degrees of the horizontal."""
    reach, deviation = (length * scale(x) for length in _MOTION[severity])
    return smeared(x, reach, deviation, streams.uniform(-math.pi / 4, math.pi / 4))


def zoom_blur(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """The camera came nearer: the mean of the picture and its enlargements, from 1 on in steps of 0.01."""
    del streams
    factors = [1 + step / 100 for step in range(round(100 * (_ZOOM[severity] - 1)) + 1)]
    total = x.copy()
    for factor in factors:
        total += stretched(x, factor)
    found: Pictures = total / np.float32(len(factors) + 1)
    return found


def _disk(radius: float, softness: float) -> npt.NDArray[np.float64]:
    """A kernel (2 r + 1, 2 r + 1): pixels within the radius, blurred over 3x3 pixels (5x5 from radius 8), sum 1."""
    reach, rim = max(1, math.ceil(radius)), 1 if radius <= 8 else 2
    places = np.arange(-reach - rim, reach + rim + 1)
    disk = (places[:, None] ** 2 + places[None, :] ** 2 <= radius**2).astype(np.float64)
    weights = gaussian_kernel(softness, rim)
    soft = np.zeros_like(disk)
    for down, one in enumerate(weights, -rim):
        for across, other in enumerate(weights, -rim):
            soft += one * other * np.roll(disk, (down, across), axis=(0, 1))
    found: npt.NDArray[np.float64] = soft / soft.sum()
    return found
