"""Random fields in 0..1: clouds of fog and crystals of frost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybrid_model.corruptions.streams import Streams

Field = npt.NDArray[np.float32]
_CRYSTALS = 24
_ELONGATION = 4.0
#: Width of the bright seam between two crystals, as a share of the picture's side.
_SEAM = 0.03


def plasma(streams: Streams, height: int, width: int, decay: float) -> Field:
    """A fractal (N, H, W), 0 to 1 in every sample: diamond-square (Fournier, Fussell and Carpenter 1982), periodic.

    `decay`: by how much displacements get smaller from one halving of the grid to the next. The published fog takes its
    wobble from an interval that shrinks by this factor, times a factor that shrinks alike: so by its square here.
    """
    side = 1 << (max(height, width) - 1).bit_length()
    step, wobble, grid = side, 1.0, np.zeros((len(streams), side, side), dtype=np.float32)
    while step > 1:
        half, cells = step // 2, side // step
        corners = grid[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres = (pairs + np.roll(pairs, -1, axis=2)) / 4 + streams.uniform(-wobble, wobble, cells, cells)
        grid[:, half::step, half::step] = centres
        for axis in (1, 2):
            # The middle of an edge between two corners along one axis; its other neighbours are centres.
            ends = corners + np.roll(corners, -1, axis=axis) + centres + np.roll(centres, 1, axis=3 - axis)
            middle = ends / 4 + streams.uniform(-wobble, wobble, cells, cells)
            grid[:, half if axis == 1 else 0 :: step, half if axis == 2 else 0 :: step] = middle
        step, wobble = half, wobble / decay**2
    grid -= grid.min(axis=(1, 2), keepdims=True)
    found: Field = (grid / grid.max(axis=(1, 2), keepdims=True))[:, :height, :width]
    return found


def crystals(streams: Streams, height: int, width: int) -> Field:
    """Ice on a pane (N, H, W): needles that meet in bright seams, each with a brightness of its own, over a haze.

    Worley's cellular noise (1996) with distances that are short along a needle: the seams are where the nearest and
    the second nearest crystal are about as far.
    """
    places = streams.uniform(0.0, 1.0, 2, _CRYSTALS)[:, :, None, None]
    angles = streams.uniform(0.0, np.pi, _CRYSTALS)[:, None, None]
    levels = streams.uniform(0.0, 1.0, _CRYSTALS)
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[None, :, None, None] - places[:, 0]
    across = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, None, :, None] - places[:, 1]
    # In float64: the last bit of a sine depends on the processor, and rounding to float32 takes it away.
    sine, cosine = (wave(angles.astype(np.float64)).astype(np.float32) for wave in (np.sin, np.cos))
    along, aside = cosine * across + sine * down, cosine * down - sine * across
    distance = np.sqrt((along / np.float32(_ELONGATION)) ** 2 + aside**2)
    nearest = distance.argmin(axis=3)
    two = np.partition(distance, 1, axis=3)[..., :2]
    seam = np.clip(1 - (two[..., 1] - two[..., 0]) / np.float32(_SEAM), 0, 1)
    level = np.take_along_axis(levels[:, None, :], nearest.reshape(len(nearest), 1, -1), axis=2).reshape(nearest.shape)
    haze = plasma(streams, height, width, decay=1.4)
    found: Field = np.clip(0.15 + 0.35 * level + 0.25 * haze + 0.4 * seam, 0, 1).astype(np.float32)
    return found
