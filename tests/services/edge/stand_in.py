"""An engine whose guard a test decides: dark pictures are out of domain, whatever the bundle's own guard finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle
from hybrid_model.runtime import EdgeEngine, EdgeResult
from services.messages import Sample

__all__ = ["GuardedEngine", "dark_sample"]


class GuardedEngine(EdgeEngine):
    """The bundle's edge half under another guard: a picture without a bright pixel is out of domain."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.guards: list[bool] = []

    def infer(
        self,
        batch: npt.NDArray[Any],
        *,
        thresholds: Sequence[float] | None = None,
        guard: bool = True,
        force_cut: bool = False,
    ) -> EdgeResult:
        """As the engine does. Raises ValueError as it does."""
        self.guards.append(guard)
        result = super().infer(batch, thresholds=thresholds, guard=False, force_cut=True)
        in_domain = batch.max(axis=(1, 2, 3)) > 0
        exit_index = np.where(in_domain, result.exit_index, -1).astype(np.int8) if guard else result.exit_index
        kept = [one if force_cut or left < 0 else None for one, left in zip(result.features, exit_index, strict=True)]
        return replace(result, in_domain=in_domain, exit_index=exit_index, features=kept)


def dark_sample(sample_id: str) -> bytes:
    """A dark picture for the network `digits`."""
    return Sample(sample_id, 1e9, "array", (8, 8, 1), "uint8", bytes(64)).encode()
