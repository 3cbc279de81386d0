"""Gaussian, shot and impulse noise. Pictures in 0..1 in and out; severity counts from 0."""

from __future__ import annotations

import numpy as np

from hybrid_model.corruptions.pictures import Pictures
from hybrid_model.corruptions.streams import Streams

#: Standard deviation, as a share of white.
_GAUSSIAN = (0.04, 0.06, 0.08, 0.09, 0.10)
#: Photons that a white pixel catches.
_PHOTONS = (500.0, 250.0, 100.0, 75.0, 50.0)
#: Share of values that are set to black or white.
_IMPULSES = (0.01, 0.02, 0.03, 0.05, 0.07)


def gaussian_noise(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Low light: x + s z with a normal z for every value."""
    return x + np.float32(_GAUSSIAN[severity]) * streams.normal(*x.shape[1:])


def shot_noise(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Poisson(x p) / p: light comes in p photons to a white pixel."""
    photons = np.float32(_PHOTONS[severity])
    return streams.poisson(x * photons) / photons


def impulse_noise(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Salt and pepper: a share of all values turns black or white, half of them each."""
    share, drawn = _IMPULSES[severity], streams.uniform(0.0, 1.0, *x.shape[1:])
    corrupted: Pictures = np.where(drawn < share / 2, np.float32(0), np.where(drawn >= 1 - share / 2, np.float32(1), x))
    return corrupted
