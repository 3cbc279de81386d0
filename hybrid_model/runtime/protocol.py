"""What anything that runs the edge half of a bundle offers, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["EdgeResult", "Engine", "ExitReadings", "joined"]


@dataclass(frozen=True, eq=False)
class EdgeResult:
    """The edge's answers for N samples and E exits.

    exit_index (N,) int8: the exit at which a sample left, -1 = escalated.
    class_index (N,) int32 and confidence (N,) float32: the class and the greatest probability (softmax at that exit's
    temperature) of the exit at which the sample left, of the last exit where it was escalated; confidence is 0 where
    the logits are not finite.
    in_domain (N,) bool: whether the guard of the exit at which the sample left, or of the last one where it was
    escalated, takes it for one of the kind that the network was trained on; False where the input or the logits are not
    finite; True where that exit has no guard.
    exit_classes (N, E) int32, -1 where an exit was not computed; exit_scores (N, E) float32, NaN there.
    features: packed bytes at the cut for escalated samples (with `force_cut` for all), else None.
    probabilities (N, K) float32, where they were asked for: of every class at the exit that gave class and confidence;
    NaN where its logits are not finite.
    """

    exit_index: npt.NDArray[np.int8]
    class_index: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    in_domain: npt.NDArray[np.bool_]
    exit_classes: npt.NDArray[np.int32]
    exit_scores: npt.NDArray[np.float32]
    features: list[bytes | None]
    probabilities: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ExitReadings:
    """What every exit reads of N samples, whoever would leave, and everybody's features.

    logits (N, E, K) float32. distances (N, E) float32: the guards' squared distances, 0 where an exit has no guard, NaN
    where its logits are not finite. in_domain (N, E) bool: by the limits of the bundle. features: N packed cuts.
    """

    logits: npt.NDArray[np.float32]
    distances: npt.NDArray[np.float32]
    in_domain: npt.NDArray[np.bool_]
    features: list[bytes]


def joined(parts: list[EdgeResult]) -> EdgeResult:
    """The results of a batch's parts as one."""
    if len(parts) == 1:
        return parts[0]
    told = [p.probabilities for p in parts if p.probabilities is not None]
    return EdgeResult(
        exit_index=np.concatenate([p.exit_index for p in parts]),
        class_index=np.concatenate([p.class_index for p in parts]),
        confidence=np.concatenate([p.confidence for p in parts]),
        in_domain=np.concatenate([p.in_domain for p in parts]),
        exit_classes=np.concatenate([p.exit_classes for p in parts]),
        exit_scores=np.concatenate([p.exit_scores for p in parts]),
        features=[f for p in parts for f in p.features],
        probabilities=np.concatenate(told) if len(told) == len(parts) else None,
    )


class Engine(Protocol):
    """A bundle's edge half; `hybrid_model.runtime.EdgeEngine` is one."""

    @property
    def kernel(self) -> str:
        """Name of the kernels that run."""

    def infer(
        self,
        batch: npt.NDArray[Any],
        *,
        thresholds: Sequence[float] | None = None,
        guard: bool = True,
        force_cut: bool = False,
        probabilities: bool = False,
    ) -> EdgeResult:
        """Decide for a batch (N, H, W, C); with `force_cut` compute every exit and the features of all.

        With `probabilities` those of every class are told.
        A sample leaves at the first exit at which its score passes and, with `guard`, it is in the domain. Without
        `guard` it leaves by its score alone; `in_domain` is told all the same.
        """

    def exit_logits(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        """The logits of every exit (N, E, K), and the packed features of all."""
