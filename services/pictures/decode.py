"""JPEG, PNG or WebP bytes -> pixels. Sizes are checked against the header, before anything is decompressed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hybrid_model.pixels import PictureRules, is_grey, network_pixels, region_px, shown_pixels
from services.messages import MessageError, appearance

__all__ = ["decode_picture", "read_picture"]

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_EXACT: Final = PictureRules(fit="exact")
_END_OF_JPEG: Final = b"\xff\xd9"


def decode_picture(
    data: bytes,
    shape: tuple[int, ...],
    *,
    rules: PictureRules = _EXACT,
    pixels_max: int = 16_000_000,
    pixels_min: int = 1,
    accept_truncated: bool = False,
) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of a JPEG, PNG or WebP file as `shape` asks for: 1 channel grey, 3 RGB, 4 RGBA.

    A picture is turned upright as its EXIF data say. `pixels_min`: of the part that counts, unless it has the size that
    is asked for. `accept_truncated`: what is missing at the end of a JPEG is grey.

    Raises MessageError: too_many_pixels, too_few_pixels, wrong_shape (another size, where `rules.fit` is "exact"),
    wrong_mode, bad_image.
    """
    height, width, channels = shape
    if accept_truncated and data[:2] == b"\xff\xd8" and data[-2:] != _END_OF_JPEG:
        data += _END_OF_JPEG
    with _opened(data) as image:
        _check_size(image, pixels_max)
        found = region_px(image, rules.roi)
        if rules.fit == "exact" and found != (height, width):
            raise MessageError("wrong_shape", f"{found[0]} x {found[1]} instead of {height} x {width}; see `fit`")
        if found != (height, width) and found[0] * found[1] < pixels_min:
            detail = f"{found[0]} x {found[1]}, {pixels_min} pixels are the least (limits.image_pixels_min)"
            raise MessageError("too_few_pixels", detail)
        _check_mode(image, rules)
        return network_pixels(image, (height, width, channels), rules)


def read_picture(data: bytes, *, side_max: int, pixels_max: int = 16_000_000) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of a file for people to look at, made smaller where a side is above `side_max`.

    C is 1, 3 or 4 as in the file; what is neither grey, RGB nor RGBA becomes RGB. A JPEG is decoded at a fraction of
    its size, and `pixels_max` bounds what is decoded. Raises MessageError: too_many_pixels, bad_image.
    """
    with _opened(data) as image:
        image.draft("RGB", (side_max, side_max))
        _check_size(image, pixels_max)
        return shown_pixels(image, side_max)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image
    except MessageError:
        raise
    except UnidentifiedImageError:  # its message names an object of ours
        raise MessageError("bad_image", f"{appearance(data)}; JPEG, PNG and WebP are read") from None
    except Exception as error:  # a decoder fed with anything raises anything
        detail = f"{type(error).__name__}: {error}"[:200]
        if "truncated" in detail:
            detail += '; a JPEG whose last bytes are missing is taken with truncated = "accept"'
        raise MessageError("bad_image", detail) from None


def _check_size(image: Image.Image, pixels_max: int) -> None:
    if image.width * image.height > pixels_max:
        raise MessageError("too_many_pixels", f"{image.width} x {image.height}, {pixels_max} are allowed")


def _check_mode(image: Image.Image, rules: PictureRules) -> None:
    if image.mode[0] in "IF" and rules.grey_range is None:
        detail = f"pixels of mode {image.mode}; `range` says which of their values are black and white"
        raise MessageError("wrong_mode", detail)
    if not is_grey(image) and rules.grey_range is not None:
        raise MessageError("wrong_mode", f"pixels of mode {image.mode}, and `range` is for grey pictures")
