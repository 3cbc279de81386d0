"""JPEG, PNG or WebP bytes -> pixels. Sizes are checked against the header, before anything is decompressed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model.pixels import rgb_pixels, upright, upright_size
from services.messages import MessageError

__all__ = ["decode_picture", "read_picture"]

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_picture(
    data: bytes, shape: tuple[int, ...], *, resize: bool = False, pixels_max: int = 16_000_000
) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of a JPEG, PNG or WebP file as `shape` asks for: 1 channel grey, 3 RGB, 4 RGBA.

    A picture is turned upright as its EXIF data say; as RGB its transparent parts lie on white.

    Raises MessageError: too_many_pixels, wrong_shape (another size, without `resize`), wrong_mode, bad_image.
    """
    height, width, channels = shape
    with _opened(data) as image:
        _check_size(image, pixels_max)
        found = upright_size(image)
        if not resize and found != (height, width):
            raise MessageError("wrong_shape", f"{found[0]} x {found[1]} instead of {height} x {width}")
        if image.mode[0] in "IF":
            raise MessageError("wrong_mode", f"pixels of mode {image.mode}")
        if channels == 3:
            return rgb_pixels(image, height, width)
        turned = upright(image)
        pixels: Image.Image = turned if turned.mode == _MODES[channels] else turned.convert(_MODES[channels])
        if (pixels.height, pixels.width) != (height, width):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(pixels, dtype=np.uint8).reshape(height, width, channels)


def read_picture(data: bytes, *, side_max: int, pixels_max: int = 16_000_000) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of a file for people to look at, made smaller where a side is above `side_max`.

    C is 1, 3 or 4 as in the file; what is neither grey, RGB nor RGBA becomes RGB. A JPEG is decoded at a fraction of
    its size, and `pixels_max` bounds what is decoded. Raises MessageError: too_many_pixels, bad_image.
    """
    with _opened(data) as image:
        image.draft("RGB", (side_max, side_max))
        _check_size(image, pixels_max)
        image.thumbnail((side_max, side_max))
        pixels: Image.Image = image if image.mode in _MODES.values() else image.convert("RGB")
        return np.asarray(pixels, dtype=np.uint8).reshape(pixels.height, pixels.width, -1)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image
    except MessageError:
        raise
    except Exception as error:  # a decoder fed with anything raises anything
        raise MessageError("bad_image", f"{type(error).__name__}: {error}"[:200]) from None


def _check_size(image: Image.Image, pixels_max: int) -> None:
    if image.width * image.height > pixels_max:
        raise MessageError("too_many_pixels", f"{image.width} x {image.height}, {pixels_max} are allowed")
