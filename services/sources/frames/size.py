"""The size that pictures are sent in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model.pixels import rgb_pixels
from services.sources.errors import SourceError

__all__ = ["Size"]

_SIDE_MAX_PX: Final = 16_384


@dataclass(frozen=True)
class Size:
    """Width and height, pixels."""

    width_px: int
    height_px: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "WIDTHxHEIGHT", as in "640x480". Raises SourceError."""
        found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip())
        sides = (0, 0) if found is None else (int(found[1]), int(found[2]))
        if not all(0 < side <= _SIDE_MAX_PX for side in sides):
            raise SourceError(f"--size {text!r}: write WIDTHxHEIGHT in pixels, as 640x480")
        return cls(*sides)

    def of(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Pixels (H, W, 3) stretched to this size, exactly as training and edge workers do it."""
        return rgb_pixels(Image.fromarray(pixels), self.height_px, self.width_px)
