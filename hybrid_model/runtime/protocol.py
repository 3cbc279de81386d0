"""What anything that runs the edge half of a bundle offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hybrid_model.runtime.result import EdgeResult

__all__ = ["Engine"]


class Engine(Protocol):
    """A bundle's edge half; `hybrid_model.runtime.EdgeEngine` is one."""

    @property
    def kernel(self) -> str:
        """Name of the kernels that run."""

    def infer(
        self, batch: npt.NDArray[Any], *, thresholds: Sequence[float] | None = None, force_cut: bool = False
    ) -> EdgeResult:
        """Decide for a batch (N, H, W, C); with `force_cut` compute every exit and the features of all."""

    def exit_logits(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        """The logits of every exit (N, E, K), and the packed features of all."""
