"""Inputs as pictures that a browser shows: small PNG files, and line charts of windows as SVG, both as data URLs."""

from __future__ import annotations

import base64
import io
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.console.inputs import Input

__all__ = ["picture", "png_url"]

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
#: More are not decoded: the page waits for it.
_PIXELS_MAX: Final = 4_000_000
_SIDE_MAX: Final = 256
_DTYPES: Final[dict[str | None, np.dtype[Any]]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}
_CHART: Final = (160, 96)
_CHANNELS_MAX: Final = 12
_POINTS_MAX: Final = 256
_COLOURS: Final = ("#3b82c4", "#d9822b", "#3f9b6c", "#b0569b", "#8a6fd1", "#c2564b", "#4aa3a3", "#8b8b3a", "#7a7f87")


def picture(found: Input) -> str | None:
    """A data URL of a picture of the input; None where it cannot be shown."""
    try:
        if found.kind == "image":
            return _file_picture(found.data)
        return _array_picture(_array(found))
    except Exception:  # a decoder fed with anything raises anything
        return None


def _array_picture(array: npt.NDArray[Any]) -> str | None:
    """An array (H, W, C) or (H, W) as PNG; one of a single row, (1, W, C) or (rows, C), as a line chart."""
    if array.ndim == 3 and array.shape[0] == 1:
        return _line_chart(array[0])
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        grey = array[:, :, 0] if array.shape[2] == 1 else array
        return png_url(Image.fromarray(_bytes(grey)))
    return _line_chart(np.atleast_2d(array)) if array.ndim <= 2 else None


def _line_chart(rows: npt.NDArray[Any]) -> str:
    """Rows (n, channels) as SVG, a line for each of the first channels, all on one scale."""
    step = max(1, math.ceil(len(rows) / _POINTS_MAX))
    shown = np.asarray(rows[::step, :_CHANNELS_MAX], dtype=np.float64)
    width, height = _CHART
    least, most = float(shown.min()), float(shown.max())
    scale = (height - 8) / (most - least) if most > least else 0.0
    across = (width - 4) / max(1, len(shown) - 1)
    lines = []
    for channel in range(shown.shape[1]):
        heights = height - 4 - (shown[:, channel] - least) * scale
        points = " ".join(f"{2 + i * across:.1f},{y:.1f}" for i, y in enumerate(heights))
        colour = _COLOURS[channel % len(_COLOURS)]
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{"".join(lines)}</svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _file_picture(data: bytes) -> str:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.draft("RGB", (_SIDE_MAX, _SIDE_MAX))  # a JPEG is decoded at a fraction of its size
        if image.width * image.height > _PIXELS_MAX:
            raise ValueError("too many pixels")
        image.thumbnail((_SIDE_MAX, _SIDE_MAX))
        return png_url(image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB"))


def _array(found: Input) -> npt.NDArray[Any]:
    array = np.frombuffer(found.data, dtype=_DTYPES[found.dtype])
    return array if found.shape is None else array.reshape(found.shape)


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    least, most = float(array.min()), float(array.max())
    return np.asarray((array - least) * (255.0 / (most - least or 1.0)), dtype=np.uint8)


def png_url(image: Image.Image) -> str:
    """A data URL of an image, which is made smaller where it is large."""
    image.thumbnail((_SIDE_MAX, _SIDE_MAX))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
