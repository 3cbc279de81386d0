"""Bytes of samples as they would travel whole: what the features at the cut are compared with."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Samples = npt.NDArray[Any]
JPEG_QUALITIES = (75, 95)


def mean_sample_bytes(x: Samples, kind: Literal["image", "sensor"]) -> dict[str, float] | None:
    """Mean bytes of samples x (N, H, W, C) by format; None where there are none.

    Pictures (uint8, 1 or 3 channels): `png` (optimized), `jpeg_75` and `jpeg_95` (Pillow's quality, which loses
    something) and `raw`. Anything else, sensors above all: `float32` and `int16`, a value each.
    """
    if len(x) == 0:
        return None
    values = int(np.prod(x.shape[1:]))
    if not _is_picture(x, kind):
        return {"float32": 4.0 * values, "int16": 2.0 * values}
    found = {"png": _mean(x, _png), "raw": float(values)}
    for quality in JPEG_QUALITIES:
        found[f"jpeg_{quality}"] = _mean(x, lambda picture, quality=quality: _jpeg(picture, quality))  # type: ignore[misc]
    return found


def mean_lossless_bytes(x: Samples, kind: Literal["image", "sensor"]) -> float:
    """Mean bytes of samples x (N, H, W, C), N at least 1, sent whole and as small as is common.

    A picture as PNG, or raw where that is smaller; a sensor's readings as 16-bit integers, which is what most measure.
    """
    values = int(np.prod(x.shape[1:]))
    if not _is_picture(x, kind):
        return 2.0 * values
    return _mean(x, lambda picture: min(_png(picture), values))


def _is_picture(x: Samples, kind: str) -> bool:
    return kind == "image" and x.dtype == np.uint8 and x.shape[3] in (1, 3)


def _mean(x: Samples, size: Callable[[Samples], int]) -> float:
    return float(np.mean([size(picture) for picture in x]))


def _png(picture: Samples) -> int:
    return _encoded(picture, "PNG", optimize=True)


def _jpeg(picture: Samples, quality: int) -> int:
    return _encoded(picture, "JPEG", quality=quality, optimize=True)


def _encoded(picture: Samples, file_format: str, **options: Any) -> int:
    buffer = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(buffer, file_format, **options)
    return buffer.tell()
