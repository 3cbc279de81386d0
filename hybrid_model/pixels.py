"""A picture file's pixels as a network takes them: upright, of 8 bits, in RGB, in one size. The same everywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["PIXELS_MAX", "opened", "rgb_pixels", "upright", "upright_size"]

#: Pixels of a picture above which it is not decoded at all: nobody's photograph, and gigabytes once unpacked.
PIXELS_MAX: Final = 100_000_000
# Callers check the header against a limit of their own before anything is decompressed; Pillow's would only warn.
Image.MAX_IMAGE_PIXELS = None

#: Formats that are programs, or that other programs are started for: never opened.
_REFUSED: Final = frozenset({"EPS", "WMF", "PDF"})
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WHITE: Final = (255, 255, 255, 255)


def opened(source: Path | io.BytesIO) -> Image.Image:
    """A picture file of any format that Pillow reads, not yet decoded. Raises whatever Pillow raises for another."""
    Image.init()
    return Image.open(source, formats=[name for name in Image.OPEN if name not in _REFUSED])


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width in pixels, of the picture turned as its EXIF data say; reads only the header."""
    lies = _orientation(image) in (5, 6, 7, 8)
    return (image.width, image.height) if lies else (image.height, image.width)


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF data say, decoded."""
    turn = _TURNS.get(_orientation(image))
    image.load()
    return image if turn is None else image.transpose(turn)


def rgb_pixels(image: Image.Image, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The pixels (height, width, 3) uint8 of an opened picture of any mode; of an animation the first frame.

    Turned upright, stretched to the size, transparent parts on white, 16 bits and floats brought to 8. Raises whatever
    Pillow raises for a file that is damaged.
    """
    _decode_small(image, height, width)
    turned = _rgb(upright(image))
    if (turned.height, turned.width) != (height, width):
        turned = turned.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(turned, dtype=np.uint8).reshape(height, width, 3)


def _orientation(image: Image.Image) -> int:
    """1, upright, to 8; 1 where the EXIF data are damaged: the pixels are not."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the parser of EXIF data raises what it likes
        return 1


def _decode_small(image: Image.Image, height: int, width: int) -> None:
    """Lets a JPEG be decoded at a fraction of its size, at least twice the one that is wanted."""
    if image.format == "JPEG" and image.mode in ("RGB", "L"):
        side = 2 * max(height, width)
        if min(image.size) >= 2 * side:
            image.draft(image.mode, (side, side))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, _WHITE), drawn).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Grey values of any range, 0 to 1, to 255, to 65,535 or beyond, as 0 to 255."""
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    greatest = float(grey.max(initial=0.0))
    if np.issubdtype(values.dtype, np.floating):
        top = 1.0 if greatest <= 1.0 else 255.0 if greatest <= 255.0 else greatest
    else:
        top = 65535.0 if values.dtype.itemsize == 2 or 255.0 < greatest <= 65535.0 else max(greatest, 255.0)
    return np.rint(np.clip(grey * (255.0 / top), 0.0, 255.0)).astype(np.uint8)
