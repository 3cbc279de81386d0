"""Snow, frost, fog and brightness. Pictures in 0..1 in and out; severity counts from 0; lengths for 32x32."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hybrid_model.corruptions import fields
from hybrid_model.corruptions.pictures import Pictures, scale
from hybrid_model.corruptions.resampling import smeared, stretched
from hybrid_model.corruptions.streams import Streams


class _Snow(NamedTuple):
    mean: float
    deviation: float
    zoom: float
    threshold: float
    reach: float
    smear: float
    kept: float


_SNOW = (
    _Snow(0.10, 0.2, 1.00, 0.60, 8, 3, 0.95),
    _Snow(0.10, 0.2, 1.00, 0.50, 10, 4, 0.90),
    _Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.90),
    _Snow(0.25, 0.3, 2.25, 0.60, 12, 6, 0.85),
    _Snow(0.30, 0.3, 1.25, 0.65, 14, 12, 0.80),
)
#: Shares of the picture and of the ice that are added.
_FROST = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
#: White added at most, and how smooth the fog is.
_FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))
#: What is added to the value of HSV, as a share of white.
_BRIGHTNESS = (0.05, 0.10, 0.15, 0.20, 0.30)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_ICE = (0.87, 0.95, 1.0)


def snow(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Flakes from noise, enlarged, thinned by a threshold and smeared as they fall, twice; the scene gets paler."""
    chosen, longer = _SNOW[severity], scale(x)
    noise = np.float32(chosen.mean) + np.float32(chosen.deviation) * streams.normal(*x.shape[1:3], 1)
    flakes = stretched(noise, chosen.zoom * longer)
    flakes = np.clip(np.where(flakes < chosen.threshold, np.float32(0), flakes), 0, 1)
    falling = streams.uniform(math.radians(-135.0), math.radians(-45.0))
    flakes = smeared(flakes, chosen.reach * longer, chosen.smear * longer, falling)
    pale = np.maximum(x, _grey(x) * np.float32(1.5) + np.float32(0.5))
    kept = np.float32(chosen.kept)
    snowed: Pictures = kept * x + (1 - kept) * pale + flakes + flakes[:, ::-1, ::-1]
    return snowed


def frost(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Ice on the lens: the published one mixes in photographs of frost, here `fields.crystals` draws it."""
    kept, added = _FROST[severity]
    ice = fields.crystals(streams, *x.shape[1:3])[..., None]
    if x.shape[3] == 3:
        ice = ice * np.array(_ICE, dtype=np.float32)
    return np.float32(kept) * x + np.float32(added) * ice


def fog(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """White clouds, drawn as a plasma fractal, are added; the whole is scaled back to the picture's brightest value."""
    added, decay = _FOG[severity]
    clouds = np.float32(added) * fields.plasma(streams, x.shape[1], x.shape[2], decay)[..., None]
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    foggy: Pictures = (x + clouds) * (brightest / (brightest + np.float32(added)))
    return foggy


def brightness(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """The value of HSV raised, at most to 1; hue and saturation stay."""
    del streams
    value = x.max(axis=3, keepdims=True)
    raised = np.minimum(value + np.float32(_BRIGHTNESS[severity]), 1)
    brighter: Pictures = np.where(value > 0, x * (raised / np.where(value > 0, value, 1)), raised).astype(np.float32)
    return brighter


def _grey(x: Pictures) -> Pictures:
    """Luma (N, H, W, 1)."""
    if x.shape[3] == 1:
        return x
    red, green, blue = (np.float32(weight) * x[..., channel, None] for channel, weight in enumerate(_LUMA))
    luma: Pictures = red + green + blue
    return luma
