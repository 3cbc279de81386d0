"""Sequences of near-duplicates of one picture: what a camera sends of a still scene. Synthetic, of real pictures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["near_duplicates"]

#: Reach of the shift, as a share of the height; of the light, as a share; deviation of the noise, in grey levels. They
#: are those of a camera that stands still, its frames scaled down to the network's size: so is most of its noise.
SHIFT_SHARE, LIGHT_SHARE, NOISE_LEVELS = 1 / 64, 0.05, 1.0


def near_duplicates(
    picture: npt.NDArray[np.uint8], count: int, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """`count` frames (count, H, W, C) uint8 of a picture (H, W, C): a trembling camera, drifting light, a noisy sensor.

    The first is the picture with noise. Shifts, of fractions of a pixel (bilinear), and light are random walks within
    `SHIFT_SHARE` and `LIGHT_SHARE`; what comes in from outside is the picture's own mirror image.
    """
    reach = picture.shape[0] * SHIFT_SHARE
    shifts = _walk(generator, (count, 2), reach)
    light = 1.0 + _walk(generator, (count,), LIGHT_SHARE)
    frames = np.stack([_shifted(picture, y, x) for y, x in shifts.tolist()])
    noisy = frames * light[:, None, None, None] + generator.normal(0.0, NOISE_LEVELS, size=frames.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _walk(generator: np.random.Generator, shape: tuple[int, ...], reach: float) -> npt.NDArray[np.float64]:
    """A random walk from 0 along the first axis, in steps of a third of its reach (1 sigma), held within the reach."""
    steps = generator.normal(0.0, reach / 3, size=shape)
    steps[0] = 0.0
    walk: npt.NDArray[np.float64] = np.clip(np.cumsum(steps, axis=0), -reach, reach)
    return walk


def _shifted(picture: npt.NDArray[np.uint8], y: float, x: float) -> npt.NDArray[np.float64]:
    """The picture (H, W, C) moved by a fraction of pixels down and to the right, in float64."""
    moved = picture.astype(np.float64)
    for axis, amount in ((0, y), (1, x)):
        whole = math.floor(amount)
        near, far = (_rolled(moved, whole + step, axis) for step in (0, 1))
        moved = near + (amount - whole) * (far - near)
    return moved


def _rolled(picture: npt.NDArray[np.float64], pixels: int, axis: int) -> npt.NDArray[np.float64]:
    """Moved by whole pixels along an axis, mirrored at its ends as often as it takes."""
    size = picture.shape[axis]
    period = max(1, 2 * (size - 1))
    places = (np.arange(size) - pixels) % period
    rolled: npt.NDArray[np.float64] = np.take(picture, np.minimum(places, period - places), axis=axis)
    return rolled
