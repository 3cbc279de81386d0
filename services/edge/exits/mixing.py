"""A batch whose samples go by different thresholds, as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.runtime import EdgeResult, Engine, joined

__all__ = ["decide"]


def decide(
    engine: Engine,
    batch: npt.NDArray[Any],
    thresholds: Sequence[tuple[float, ...]],
    groups: npt.NDArray[np.int64],
    *,
    guard: bool,
    probabilities: bool = False,
) -> EdgeResult:
    """Decide for a batch (N, H, W, C), each sample by the thresholds of its group; one call of the engine a group.

    Args:
        engine: The bundle's edge half.
        batch: Of the bundle's input shape and type.
        thresholds: Of each sample, one an exit.
        groups: (N,) int64; samples of one group have the same thresholds.
        guard: Whether none leaves that is out of domain.
        probabilities: Whether those of every class are told.

    Raises ValueError as `EdgeEngine.infer` does.
    """
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    told = {"probabilities": True} if probabilities else {}
    if len(rows) == 1:
        return engine.infer(batch, thresholds=thresholds[0], guard=guard, **told)
    parts = [engine.infer(batch[some], thresholds=thresholds[some[0]], guard=guard, **told) for some in rows]
    result = joined(parts)
    order = np.argsort(np.concatenate(rows))
    return EdgeResult(
        exit_index=result.exit_index[order],
        class_index=result.class_index[order],
        confidence=result.confidence[order],
        in_domain=result.in_domain[order],
        exit_classes=result.exit_classes[order],
        exit_scores=result.exit_scores[order],
        features=[result.features[row] for row in order],
        probabilities=None if result.probabilities is None else result.probabilities[order],
    )
