"""Inputs as pictures that a browser shows: small PNG files, and line charts of windows as SVG, both as data URLs."""

from __future__ import annotations

import base64
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.console.collect.device_inputs import DeviceInput
from services.pictures import png_url, read_picture

__all__ = ["SIDE_MAX", "input_picture"]

#: Pixels of a picture's longer side, which is as large as the page shows it.
SIDE_MAX: Final = 256
#: More are not decoded: the page waits for it.
_PIXELS_MAX: Final = 4_000_000
_DTYPES: Final[dict[str | None, np.dtype[Any]]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}
_CHART: Final = (160, 96)
_CHANNELS_MAX: Final = 12
_POINTS_MAX: Final = 256
_COLOURS: Final = ("#3b82c4", "#d9822b", "#3f9b6c", "#b0569b", "#8a6fd1", "#c2564b", "#4aa3a3", "#8b8b3a", "#7a7f87")


def input_picture(sent: DeviceInput) -> str | None:
    """A data URL of a picture of the input; None where it cannot be shown."""
    try:
        if sent.kind == "image":
            return png_url(read_picture(sent.data, side_max=SIDE_MAX, pixels_max=_PIXELS_MAX), side_max=SIDE_MAX)
        return _array_picture(_array(sent))
    except Exception:  # devices send anything
        return None


def _array_picture(array: npt.NDArray[Any]) -> str | None:
    """An array (H, W, C) or (H, W) as PNG; one of a single row, (1, W, C) or (rows, C), as a line chart."""
    if array.ndim == 3 and array.shape[0] == 1:
        return _line_chart(array[0])
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        return png_url(_bytes(array), side_max=SIDE_MAX)
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


def _array(sent: DeviceInput) -> npt.NDArray[Any]:
    array = np.frombuffer(sent.data, dtype=_DTYPES[sent.dtype])
    return array if sent.shape is None else array.reshape(sent.shape)


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    least, most = float(array.min()), float(array.max())
    return np.asarray((array - least) * (255.0 / (most - least or 1.0)), dtype=np.uint8)
