"""Whether anything moved: the share of a picture that has changed since the last one that was sent."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["LEVELS_MIN", "MotionGate", "changed_share", "outline"]

#: Grey levels of 255 by which a pixel must differ: sensor noise, averaged over an outline's pixel, stays below.
LEVELS_MIN: Final = 16
_SIDE_MAX_PX: Final = 160


def outline(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, 3) in grey and small, (h, w), 160 a side at most: each the mean of the pixels it stands for."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    shrink = max(1.0, max(grey.size) / _SIDE_MAX_PX)
    size = max(1, round(grey.width / shrink)), max(1, round(grey.height / shrink))
    small = grey if size == grey.size else grey.resize(size, Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8)


def changed_share(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], *, levels_min: int = LEVELS_MIN
) -> float:
    """The share, 0 to 1, of the pixels of two outlines (h, w) that differ by `levels_min` grey levels or more.

    1 where the sizes differ.
    """
    if before.shape != after.shape:
        return 1.0
    difference: npt.NDArray[Any] = np.abs(before.astype(np.int16) - after.astype(np.int16))
    return float((difference >= levels_min).mean())


class MotionGate:
    """Lets a frame through if enough of it differs from the last one that was let through, or that is long ago.

    Args:
        share_min: Share of changed pixels, 0 to 1, from which on a frame passes. What creeps in slowly passes as well,
            once it has come so far.
        still_s: A frame passes after so many seconds without one, even if nothing moved.
    """

    def __init__(self, share_min: float, still_s: float) -> None:
        self._share_min, self._still_s = share_min, still_s
        self._last: tuple[npt.NDArray[np.uint8], float] | None = None

    def passes(self, pixels: npt.NDArray[np.uint8], time_s: float) -> bool:
        """Whether the frame (H, W, 3) of this time passes; if so, later ones are compared with it."""
        now = outline(pixels)
        if self._last is not None:
            before, at_s = self._last
            if changed_share(before, now) < self._share_min and time_s - at_s < self._still_s:
                return False
        self._last = now, time_s
        return True
