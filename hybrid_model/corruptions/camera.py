"""What everyday cameras do to every picture: JPEG of middling quality, and sensor noise that is hardly seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.corruptions.digital import through_jpeg
from hybrid_model.corruptions.pictures import Corruption, CorruptionError, Pictures, changed
from hybrid_model.corruptions.streams import Streams

_JPEG_QUALITY = 60
#: Standard deviation in grey levels of 255.
_NOISE_LEVELS = 8


def _jpeg(x: Pictures, severity: int, streams: Streams) -> Pictures:
    del severity, streams
    return through_jpeg(x, _JPEG_QUALITY)


def _noise(x: Pictures, severity: int, streams: Streams) -> Pictures:
    del severity
    return x + np.float32(_NOISE_LEVELS / 255) * streams.normal(*x.shape[1:])


#: `jpeg_60`: Pillow's quality 60. `noise_8`: Gaussian, 8 grey levels standard deviation.
CAMERA: dict[str, Corruption] = {f"jpeg_{_JPEG_QUALITY}": _jpeg, f"noise_{_NOISE_LEVELS}": _noise}


def photograph(
    x: npt.NDArray[np.uint8], camera: str, *, index: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None
) -> npt.NDArray[np.uint8]:
    """Pictures (N, H, W, C) uint8 as one of CAMERA would deliver them; `index` (N,) as for `corrupt`.

    Raises CorruptionError for another camera, and for samples that are no pictures.
    """
    if camera not in CAMERA:
        raise CorruptionError(f"no camera is called {camera!r}; take {', '.join(CAMERA)}")
    return changed(x, index, camera, 0, CAMERA[camera])
