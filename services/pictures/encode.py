"""Pixels -> PNG bytes, and data URLs of them for a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["png_bytes", "png_url"]


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, C) uint8, 1 channel grey, 3 RGB, 4 RGBA, as a PNG file."""
    return _png(_image(pixels))


def png_url(pixels: npt.NDArray[np.uint8], *, side_max: int) -> str:
    """The same as a `data:` URL, made smaller where a side is above `side_max`."""
    image = _image(pixels)
    image.thumbnail((side_max, side_max))
    return "data:image/png;base64," + base64.b64encode(_png(image)).decode()


def _image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
