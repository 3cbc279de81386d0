"""A picture file as it is sent: unchanged where an edge worker can read it, else as another format."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model.pixels import PIXELS_MAX, opened, rgb_pixels, upright_size
from services.sources.errors import SourceError

__all__ = ["Picture", "read"]

#: What edge workers decode.
_UNDERSTOOD: Final = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True)
class Picture:
    """A whole picture file. `as_it_is`: an edge worker decodes its bytes."""

    content: bytes
    as_it_is: bool

    def pixels(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright, transparent parts on white."""
        with opened(io.BytesIO(self.content)) as image:
            return rgb_pixels(image, *upright_size(image))


def read(content: bytes) -> Picture:
    """A picture of these bytes. Raises SourceError for what cannot be decoded to the last row."""
    try:
        with opened(io.BytesIO(content)) as image:
            if image.width * image.height > PIXELS_MAX:
                raise SourceError(f"has {image.width} x {image.height} pixels, {PIXELS_MAX} are allowed")
            image.load()
            return Picture(content, image.format in _UNDERSTOOD and not _deep(image))
    except SourceError:
        raise
    except Exception as error:  # a decoder fed with anything raises anything
        raise SourceError(f"no whole picture ({type(error).__name__})") from None


def _deep(image: Image.Image) -> bool:
    """Pixels of 16 bits or more, which edge workers refuse."""
    return image.mode[0] in "IF"
