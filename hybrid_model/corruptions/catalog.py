"""The fifteen kinds by name, at severities 1 to 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.corruptions import blur, digital, noise, weather
from hybrid_model.corruptions.pictures import Corruption, CorruptionError, changed

SEVERITIES = (1, 2, 3, 4, 5)

#: By family, in the order of the publication.
KINDS: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}


def corrupt(
    x: npt.NDArray[np.uint8],
    kind: str,
    severity: int,
    *,
    index: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
) -> npt.NDArray[np.uint8]:
    """Pictures (N, H, W, C) uint8, grey or RGB, at least 8x8, corrupted by one of KINDS at a severity from 1 to 5.

    The strengths are those that the authors of arXiv 1903.12261 published for CIFAR-10-C, 32x32 pixels; lengths in
    pixels grow with the shorter side of larger pictures. `index` (N,) holds the samples' numbers in their split, 0 to
    N - 1 where it is None: a picture is corrupted alike wherever kind, severity and number are, whatever its batch.
    Raises CorruptionError for another kind or severity, and for samples that are no such pictures.
    """
    if kind not in KINDS:
        raise CorruptionError(f"no corruption is called {kind!r}; take {', '.join(KINDS)}")
    if severity not in SEVERITIES:
        raise CorruptionError(f"no severity {severity}; take 1 to 5")
    return changed(x, index, kind, severity - 1, KINDS[kind])
