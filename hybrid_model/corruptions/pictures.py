"""What every corruption takes and gives: checked pictures, as shares of white, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.corruptions.streams import Streams
from hybrid_model.errors import DewpointError

#: (N, H, W, C) float32, 0 black to 1 white; between two steps of a corruption it may lie outside.
Pictures = npt.NDArray[np.float32]
#: Pictures, the severity counted from 0, the samples' random streams.
Corruption = Callable[[Pictures, int, Streams], Pictures]

SIDE_MIN = 8
#: The side in pixels for which the published lengths of CIFAR-10-C were made.
SIDE_OF_CIFAR = 32
#: Pixels of a batch: what a corruption has in memory at once stays below some 200 MB.
_BATCH_PIXELS = 250 * 32 * 32


class CorruptionError(DewpointError, ValueError):
    """What is to be corrupted is no picture, or the corruption is none that is known."""


def scale(x: Pictures) -> float:
    """By how much lengths in pixels are longer than for a picture of 32x32; never less than 1.

    A blur that is finer than a pixel changes nothing, so smaller pictures keep the lengths of 32x32.
    """
    return max(1.0, float(min(x.shape[1:3])) / SIDE_OF_CIFAR)


def changed(
    x: npt.NDArray[np.uint8], index: Sequence[int] | npt.NDArray[np.integer[Any]] | None, name: str, severity: int,
    apply: Corruption,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """`apply` to pictures (N, H, W, C) uint8, batch by batch; severity from 0. Raises CorruptionError for no pictures.

    `index` (N,): each sample's number, which chooses its random stream; 0 to N - 1 where it is None.
    """
    if x.ndim != 4 or x.dtype != np.uint8 or x.shape[3] not in (1, 3) or min(x.shape[1:3]) < SIDE_MIN:
        raise CorruptionError(
            f"samples {x.shape} of {x.dtype} are no pictures: corruptions take (N, H, W, C) of uint8, grey (C = 1) or "
            f"RGB (C = 3), at least {SIDE_MIN}x{SIDE_MIN}"
        )
    numbers = np.arange(len(x)) if index is None else np.asarray(index)
    if numbers.shape != (len(x),):
        raise CorruptionError(f"{len(x)} samples need {len(x)} numbers, not {numbers.shape}: one for each stream")
    out = np.empty_like(x)
    step = max(1, _BATCH_PIXELS // (x.shape[1] * x.shape[2]))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        shares = x[rows].astype(np.float32) / np.float32(255)
        found = apply(shares, severity, Streams(name, severity, numbers[rows]))
        out[rows] = to_bytes(found)
    return out


def to_bytes(x: Pictures) -> npt.NDArray[np.uint8]:
    """Shares of white as bytes: clipped, to the nearest grey level."""
    found: npt.NDArray[np.uint8] = np.rint(np.clip(x, 0, 1) * np.float32(255)).astype(np.uint8)
    return found
