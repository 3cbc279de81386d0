"""An explanation's occlusion map laid over its input."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from services.console.page.input_picture import SIDE_MAX
from services.pictures import png_url, read_picture

__all__ = ["LESS_SURE", "SURER", "occlusion_picture"]

LESS_SURE: Final = "#1f6fb2"
SURER: Final = "#d07a1f"

_SIDE: Final = 240
#: Pixels. An input beyond it, of which no network that we know is near, is laid under the map less sharply.
_INPUT_SIDE_MAX: Final = 4096
_STRENGTH: Final = 0.75
_CELLS_MAX: Final = 1 << 16
_PAPER: Final = (236, 236, 236)
_INK: Final = (90, 90, 90)


def occlusion_picture(found: dict[str, Any]) -> str | None:
    """A data URL: the input in grey, blue where covering it makes the exit less sure, orange where surer.

    `found` is what `/explain` answers; None where it has no map. Raises KeyError, TypeError or ValueError for what does
    not fit.
    """
    told = found.get("occlusion")
    if not isinstance(told, dict):
        return None
    grid = np.nan_to_num(np.array(told["surer"], dtype=np.float64))
    if grid.ndim != 2 or not 0 < grid.size <= _CELLS_MAX:
        raise ValueError(f"an occlusion map of shape {grid.shape}")
    greatest = float(np.abs(grid).max()) or 1.0
    below = _ground(found["input"], window=grid.shape[0] == 1)
    heat = Image.fromarray((grid / greatest).astype(np.float32)).resize(
        (below.shape[1], below.shape[0]), Image.Resampling.NEAREST
    )
    strength = np.asarray(heat, dtype=np.float64)[:, :, np.newaxis]
    colour = np.where(strength > 0, ImageColor.getrgb(SURER), ImageColor.getrgb(LESS_SURE))
    part = _STRENGTH * np.abs(strength)
    pixels = (below * (1 - part) + colour * part).round().astype(np.uint8)
    return png_url(pixels, side_max=SIDE_MAX)


def _ground(told: dict[str, Any], *, window: bool) -> npt.NDArray[np.float64]:
    """What lies below the map, (H, W, 3): the picture in grey, or the window's lines."""
    if "png_base64" in told:
        pixels = read_picture(base64.b64decode(told["png_base64"]), side_max=_INPUT_SIDE_MAX)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        shown = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
        return np.repeat(np.asarray(shown, dtype=np.float64)[:, :, np.newaxis], 3, axis=2)
    values = np.asarray(told["values"], dtype=np.float64)
    ground = Image.new("RGB", (_SIDE, _SIDE * 3 // 5), _PAPER)
    if window and values.ndim == 2 and len(values) > 1:
        least, most = float(values.min()), float(values.max())
        across = (_SIDE - 1) / (len(values) - 1)
        down = (1 - (values - least) / ((most - least) or 1.0)) * (ground.height - 5) + 2
        draw = ImageDraw.Draw(ground)
        for channel in down.T:
            draw.line([(place * across, float(y)) for place, y in enumerate(channel)], fill=_INK)
    return np.asarray(ground, dtype=np.float64)
