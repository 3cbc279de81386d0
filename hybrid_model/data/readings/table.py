"""All rows of some files, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Table"]


@dataclass(frozen=True, eq=False)
class Table:
    """N readings in the files' order.

    values (N, C) float32, NaN where a cell is empty or no float32; device (N,) int32 indexes `devices`; label (N,)
    int32 indexes `labels`, -1 where empty; time_s (N,) float64 epoch seconds, NaN where empty, or None where files have
    no times.
    """

    values: npt.NDArray[np.float32]
    device: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]
    time_s: npt.NDArray[np.float64] | None
    devices: tuple[str, ...]
    labels: tuple[str, ...]
    channels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.device)
