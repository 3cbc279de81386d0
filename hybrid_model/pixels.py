"""A picture file's pixels as a network takes them: upright, of 8 bits, in its channels and size. The same everywhere.

Training and the edge call one function, `network_pixels`: what a network learned from is what it is shown.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = [
    "PIXELS_MAX",
    "Fit",
    "PictureRules",
    "is_grey",
    "network_pixels",
    "opened",
    "region_px",
    "rgb_pixels",
    "shown_pixels",
    "upright",
    "upright_size",
]

Fit = Literal["exact", "resize", "crop", "letterbox"]

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
#: The orientations whose height is the sensor's width.
_LYING: Final = frozenset({5, 6, 7, 8})
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_TRANSPARENT: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})

Box = tuple[float, float, float, float]
_WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class PictureRules:
    """How a picture becomes what a network takes. Training uses the defaults.

    `fit`: "resize" stretches it; "crop" cuts its middle out, in the network's proportions; "letterbox" leaves its
    proportions and fills the rest; "exact" leaves its size. `roi`: the part that counts, (left, top, right, bottom) in
    fractions of the upright picture. `background`: the colour under transparent parts and beside a letterboxed picture.
    `grey_range`: the values of a grey picture that become 0 and 255; if None, those of its type. `bgr`: the file's red
    is blue, and its blue red.
    """

    fit: Fit = "resize"
    roi: Box | None = None
    background: tuple[int, int, int] = (255, 255, 255)
    grey_range: tuple[float, float] | None = None
    bgr: bool = False


_DEFAULTS: Final = PictureRules()


def opened(source: Path | io.BytesIO) -> Image.Image:
    """A picture file of any format that Pillow reads, not yet decoded. Raises whatever Pillow raises for another."""
    Image.init()
    return Image.open(source, formats=[name for name in Image.OPEN if name not in _REFUSED])


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width in pixels, of the picture turned as its EXIF data say; reads only the header."""
    return _turned_size(image, _orientation(image))


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF data say, decoded."""
    return _upright(image, _orientation(image))


def region_px(image: Image.Image, roi: Box | None) -> tuple[int, int]:
    """Height and width in pixels of the part of the upright picture that counts; reads only the header."""
    height, width = upright_size(image)
    if roi is None:
        return height, width
    left, top, right, bottom = _whole_box(_part(height, width, roi))
    return int(bottom - top), int(right - left)


def is_grey(image: Image.Image) -> bool:
    """Whether its pixels are grey values of 8 or more bits, or floats: what `grey_range` is for."""
    return image.mode == "L" or image.mode[0] in "IF"


def rgb_pixels(image: Image.Image, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The pixels (height, width, 3) uint8 of an opened picture of any mode; of an animation the first frame.

    Turned upright, stretched to the size, transparent parts on white, 16 bits and floats brought to 8. Raises whatever
    Pillow raises for a file that is damaged.
    """
    return network_pixels(image, (height, width, 3))


def network_pixels(
    image: Image.Image, shape: tuple[int, int, int], rules: PictureRules = _DEFAULTS
) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of an opened picture of any mode, C = 1 grey, 3 RGB, 4 RGBA.

    A JPEG that is much larger than the network's picture is decoded at a fraction of its size. With 4 channels, what
    is wholly transparent has the background's colour: what hides there was never to be seen. Raises whatever Pillow
    raises for a file that is damaged; ValueError where `fit` is "exact" and the size another.
    """
    height, width, channels = shape
    orientation = _orientation(image)
    part = _WHOLE
    if rules.roi is not None or rules.fit == "crop":
        part = _fitted(rules, *_turned_size(image, orientation), height, width)
    _decode_small(image, height, width, part, lies=orientation in _LYING)
    # A JPEG may have another size now. Fractions stay what they were.
    turned = _in_mode(_upright(image, orientation), _MODES[channels], rules)
    if part is not _WHOLE or turned.size != (width, height):
        turned = _placed(turned, part, rules, height, width)
    pixels = np.asarray(turned, dtype=np.uint8).reshape(height, width, channels)
    return _without_hidden(pixels, rules.background) if channels == 4 else pixels


def shown_pixels(image: Image.Image, side_max: int) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of an opened picture for people to look at, upright, no side above `side_max`.

    C is 1, 3 or 4 as in the file; what is neither grey, RGB nor RGBA becomes RGB.
    """
    image.draft("RGB", (side_max, side_max))
    turned = upright(image)
    if turned.mode not in _MODES.values() or "transparency" in turned.info:
        turned = _in_mode(turned, "RGB", _DEFAULTS)
    elif turned is image:
        turned = image.copy()
    turned.thumbnail((side_max, side_max))
    return np.asarray(turned, dtype=np.uint8).reshape(turned.height, turned.width, -1)


def _orientation(image: Image.Image) -> int:
    """1, upright, to 8; 1 where the EXIF data are damaged: the pixels are not."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the parser of EXIF data raises what it likes
        return 1


def _turned_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    return (image.width, image.height) if orientation in _LYING else (image.height, image.width)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    image.load()
    return image if turn is None else image.transpose(turn)


# What part of the upright picture counts, in fractions of it, and where it comes to lie


def _placed(turned: Image.Image, part: Box, rules: PictureRules, height: int, width: int) -> Image.Image:
    """The part scaled to the network's picture, as `fit` says."""
    box = _scaled(part, turned.height, turned.width)
    if rules.fit == "exact":
        box = _whole_box(box)
        if (box[3] - box[1], box[2] - box[0]) != (height, width):
            raise ValueError(f"{box[3] - box[1]} x {box[2] - box[0]} instead of {height} x {width}")
    inner = _inner_size(rules, box, height, width)
    scaled = turned.resize((inner[1], inner[0]), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if inner == (height, width):
        return scaled
    canvas = Image.new("RGB", (width, height), rules.background).convert(turned.mode)
    canvas.paste(scaled, ((width - inner[1]) // 2, (height - inner[0]) // 2))
    return canvas


def _part(height: int, width: int, roi: Box | None) -> Box:
    """The part that counts, in pixels."""
    left, top, right, bottom = roi or _WHOLE
    return left * width, top * height, right * width, bottom * height


def _fitted(rules: PictureRules, found_height: int, found_width: int, height: int, width: int) -> Box:
    """The part that is scaled, in fractions of the picture: with "crop", the middle of what counts."""
    left, top, right, bottom = _part(found_height, found_width, rules.roi)
    if rules.fit == "crop":
        scale = min((right - left) / width, (bottom - top) / height)
        across, down = (right - left - scale * width) / 2, (bottom - top - scale * height) / 2
        left, top, right, bottom = left + across, top + down, right - across, bottom - down
    return left / found_width, top / found_height, right / found_width, bottom / found_height


def _scaled(part: Box, height: int, width: int) -> Box:
    if part is _WHOLE:
        return 0.0, 0.0, float(width), float(height)
    left, right = (_snapped(edge * width, width) for edge in (part[0], part[2]))
    top, bottom = (_snapped(edge * height, height) for edge in (part[1], part[3]))
    return left, top, right, bottom


def _snapped(edge: float, most: int) -> float:
    """An edge that misses a pixel's border by rounding alone is on it."""
    whole = round(edge)
    return min(float(whole) if abs(edge - whole) < 1e-6 else edge, float(most))


def _whole_box(box: Box) -> Box:
    left, top, right, bottom = (float(round(edge)) for edge in box)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _inner_size(rules: PictureRules, box: Box, height: int, width: int) -> tuple[int, int]:
    """Height and width of the scaled part within the network's picture."""
    if rules.fit != "letterbox":
        return height, width
    scale = min(height / (box[3] - box[1]), width / (box[2] - box[0]))
    return (
        min(height, max(1, round(scale * (box[3] - box[1])))),
        min(width, max(1, round(scale * (box[2] - box[0])))),
    )


def _decode_small(image: Image.Image, height: int, width: int, part: Box, *, lies: bool) -> None:
    """Lets a JPEG be decoded at a fraction of its size, the part that counts twice as large as wanted."""
    if image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return
    side = 2 * max(height, width)
    across, down = part[2] - part[0], part[3] - part[1]
    if lies:
        across, down = down, across
    if min(image.width * across, image.height * down) >= 2 * side:
        image.draft(image.mode, (int(np.ceil(side / across)), int(np.ceil(side / down))))


# Colours


def _in_mode(image: Image.Image, mode: str, rules: PictureRules) -> Image.Image:
    """The picture as L, RGB or RGBA, transparent parts on the background unless it is RGBA that is wanted."""
    if image.mode == mode == "RGB" and not rules.bgr and "transparency" not in image.info:  # most pictures
        return image
    if is_grey(image) and (rules.grey_range is not None or image.mode[0] in "IF"):
        levels = np.asarray(image)
        grey = _eight_bits(levels) if rules.grey_range is None else _stretched(levels, rules.grey_range)
        return Image.fromarray(grey).convert(mode)
    if mode != "RGBA" and (image.mode in _TRANSPARENT or "transparency" in image.info):
        drawn = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", drawn.size, (*rules.background, 255)), drawn).convert("RGB")
    if rules.bgr and not is_grey(image):
        red, green, blue, *alpha = image.convert("RGBA" if mode == "RGBA" else "RGB").split()
        image = Image.merge("RGBA" if alpha else "RGB", (blue, green, red, *alpha))
    return image if image.mode == mode else image.convert(mode)


def _without_hidden(pixels: npt.NDArray[np.uint8], background: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    hidden = pixels[..., 3] == 0
    if not hidden.any():
        return pixels
    pixels = pixels.copy()
    pixels[hidden, :3] = background
    return pixels


def _stretched(values: npt.NDArray[np.generic], grey_range: tuple[float, float]) -> npt.NDArray[np.uint8]:
    low, high = grey_range
    grey = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.rint(np.clip((grey - low) * (255.0 / (high - low)), 0.0, 255.0)).astype(np.uint8)


def _eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Grey values of any range, 0 to 1, to 255, to 65,535 or beyond, as 0 to 255."""
    grey = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    greatest = float(grey.max(initial=0.0))
    if np.issubdtype(values.dtype, np.floating):
        top = 1.0 if greatest <= 1.0 else 255.0 if greatest <= 255.0 else greatest
    else:
        top = 65535.0 if values.dtype.itemsize == 2 or 255.0 < greatest <= 65535.0 else max(greatest, 255.0)
    return np.rint(np.clip(grey * (255.0 / top), 0.0, 255.0)).astype(np.uint8)
