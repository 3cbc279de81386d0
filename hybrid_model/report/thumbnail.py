"""A sample as people see it: a picture as a data URL, a window of readings as a small chart."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from hybrid_model.data import Dataset

__all__ = ["Scales", "picture_url", "scales_of", "window_chart"]

SIDE_MAX: Final = 160
CHANNELS_MAX: Final = 12
_PICTURE_CHANNELS: Final = (1, 3, 4)
_WIDTH, _HEIGHT, _MARGIN = 200, 110, 4
_POINTS_MAX: Final = 256
_SAMPLES_MAX: Final = 2000


@dataclass(frozen=True, eq=False)
class Scales:
    """From where to where each channel reaches: `low` and `high` (C,)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def scales_of(dataset: Dataset) -> Scales:
    """The middle 99 % of each channel over some of the training samples."""
    x = dataset.train.x[:: max(1, len(dataset.train) // _SAMPLES_MAX)].reshape(-1, dataset.train.x.shape[-1])
    low, high = np.percentile(x.astype(np.float64), (0.5, 99.5), axis=0)
    return Scales(low, np.where(high > low, high, low + 1.0))


def picture_url(pixels: NDArray[Any]) -> str:
    """Pixels (H, W, C) as a PNG in a data URL, made smaller where a side is above SIDE_MAX.

    What is no uint8 of 1, 3 or 4 channels is shown by its first channel, from its least to its greatest value.
    """
    if pixels.dtype != np.uint8 or pixels.shape[2] not in _PICTURE_CHANNELS:
        values = np.nan_to_num(pixels[:, :, :1].astype(np.float64))
        span = float(np.ptp(values)) or 1.0
        pixels = (255.0 * (values - values.min()) / span).astype(np.uint8)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE_MAX, SIDE_MAX))
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def window_chart(window: NDArray[Any], scales: Scales, names: Sequence[str]) -> Markup:
    """A window of readings (1, W, C) as lines, each channel on its own scale, the first CHANNELS_MAX of them."""
    rows = window.reshape(-1, window.shape[-1]).astype(np.float64)
    rows = rows[:: max(1, -(-len(rows) // _POINTS_MAX))]
    place = np.clip((rows - scales.low) / (scales.high - scales.low), -0.05, 1.05)
    across = _MARGIN + np.arange(len(rows)) / max(1, len(rows) - 1) * (_WIDTH - 2 * _MARGIN)
    up = _HEIGHT - _MARGIN - 6 - place * (_HEIGHT - 2 * _MARGIN - 12)
    parts = [
        Markup('<svg class="window" viewBox="0 0 {} {}" role="img" aria-label="readings">').format(_WIDTH, _HEIGHT)
    ]
    for channel, name in enumerate(names[:CHANNELS_MAX]):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up[:, channel], strict=True))
        parts.append(
            Markup('<polyline class="line thin s{}" points="{}"><title>{}</title></polyline>').format(
                1 + channel % 6, points, name
            )
        )
    return Markup("").join([*parts, Markup("</svg>")])
