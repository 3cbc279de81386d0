"""A part of a picture, in fractions of its sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from services.sources.errors import SourceError

__all__ = ["Region"]


@dataclass(frozen=True)
class Region:
    """A rectangle: the fractions of the width and height where it begins, and how far it reaches."""

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        """Raise SourceError for what reaches beyond the picture or is empty."""
        begins, reaches = (self.left, self.top), (self.width, self.height)
        within = all(a >= 0 and b > 0 and a + b <= 1 + 1e-9 for a, b in zip(begins, reaches, strict=True))
        if not within:
            raise SourceError("--region reaches beyond the picture or is empty: each of its numbers is from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "LEFT,TOP,WIDTH,HEIGHT", as in "0.25,0.25,0.5,0.5". Raises SourceError."""
        try:
            left, top, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise SourceError(
                f"--region {text!r}: write LEFT,TOP,WIDTH,HEIGHT in fractions, as 0.25,0.25,0.5,0.5"
            ) from None
        return cls(left, top, width, height)

    def of(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part (h, w, C) of pixels (H, W, C): every pixel that the rectangle touches, one at least. A view."""
        high, wide = pixels.shape[:2]
        rows = _span(self.top, self.height, high)
        columns = _span(self.left, self.width, wide)
        return pixels[rows, columns]


def _span(begins: float, reaches: float, pixels: int) -> slice:
    """What lies on a border but for a rounding error is no touched pixel."""
    first = min(math.floor(begins * pixels + 1e-6), pixels - 1)
    last = min(math.ceil((begins + reaches) * pixels - 1e-6), pixels)
    return slice(first, max(last, first + 1))
