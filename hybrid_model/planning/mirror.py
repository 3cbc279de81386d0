"""Whether mirrored pictures still look like their class: asked of their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model.data import Split

__all__ = ["MirrorTest", "mirror_test"]

_SAMPLES: Final = 1500
_LEAST_SAMPLES: Final = 60
_SIDE: Final = 12


@dataclass(frozen=True)
class MirrorTest:
    """Of `samples` pictures the shares whose nearest other picture is of their class, as they are and mirrored.

    A picture's own mirror image is compared with the others alone. None where there were too few pictures to ask.
    """

    samples: int
    as_they_are: float | None
    mirrored: float | None

    @property
    def harmless(self) -> bool:
        """Whether mirrored pictures are told as well as they are, up to twice what chance alone makes of it."""
        if self.as_they_are is None or self.mirrored is None:
            return False
        share = (self.as_they_are + self.mirrored) / 2
        deviation = float(np.sqrt(2 * share * (1 - share) / self.samples))
        return self.mirrored >= self.as_they_are - 2 * deviation


def mirror_test(split: Split) -> MirrorTest:
    """Looks at evenly spaced pictures of a split, x (N, H, W, 3) uint8, as small grey ones."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(_SAMPLES, len(split))).astype(np.int64))
    if len(rows) < _LEAST_SAMPLES:
        return MirrorTest(len(rows), None, None)
    small = np.stack([_small(split.x[row]) for row in rows])
    y = split.y[rows]
    found = [_told(small, other, y) for other in (small, small[:, :, ::-1])]
    return MirrorTest(len(rows), *found)


def _small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Grey, small, of mean 0 and deviation 1, so that light does not count."""
    grey = Image.fromarray(picture).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    values = np.asarray(grey, dtype=np.float64)
    small: npt.NDArray[np.float64] = (values - values.mean()) / max(float(values.std()), 1.0)
    return small


def _told(known: npt.NDArray[np.float64], asked: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> float:
    """The share of `asked` (N, S, S) whose nearest among the others of `known` is of its class."""
    a, b = asked.reshape(len(asked), -1), known.reshape(len(known), -1)
    distance = (a**2).sum(axis=1)[:, np.newaxis] + (b**2).sum(axis=1) - 2 * a @ b.T
    np.fill_diagonal(distance, np.inf)
    return float((y[distance.argmin(axis=1)] == y).mean())
