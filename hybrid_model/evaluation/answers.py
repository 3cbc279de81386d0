"""What both halves of a network say of every sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model import exits
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.data import Dataset
from hybrid_model.errors import DewpointError
from hybrid_model.runtime import EdgeEngine

BATCH = 250


class EvaluationError(DewpointError, ValueError):
    """A bundle and a data set that do not belong together, or a bundle that lacks what a figure needs."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What both halves say of every sample of a split.

    exit_index (N,) int8, -1 = escalated; exit_class (N, E) at every exit, whoever left before; cloud_class (N,) as if
    every sample had been escalated; edge_confidence (N,) and cloud_confidence (N,) float32, of the exit where a sample
    left, else of the deepest, and of the cloud's class; exit_score (N, E) float64 at every exit where
    they were asked for, else None; feature_bytes per sample; kernel: the edge engine's.
    Of guards, None where the bundle has none: in_domain (N,) as the engine tells it; exit_index_unguarded (N,) int8,
    where samples would leave by their scores alone; exit_in_domain (N, E) at every exit where scores were asked for.
    """

    exit_index: NDArray[np.int8]
    exit_class: NDArray[np.int32]
    cloud_class: NDArray[np.int64]
    edge_confidence: NDArray[np.float32]
    cloud_confidence: NDArray[np.float32]
    exit_score: NDArray[np.float64] | None
    feature_bytes: int
    kernel: str
    in_domain: NDArray[np.bool_] | None = None
    exit_index_unguarded: NDArray[np.int8] | None = None
    exit_in_domain: NDArray[np.bool_] | None = None

    @property
    def deepest_class(self) -> NDArray[np.int32]:
        """The last exit's class (N,), as if none had left and none had been escalated."""
        return self.exit_class[:, -1]

    @property
    def hybrid_class(self) -> NDArray[np.int64]:
        """The final label's class (N,): the exit's where a sample left, else the cloud's."""
        return self.class_if(self.exit_index)

    def class_if(self, exit_index: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The final label's class (N,) if samples left at `exit_index` (N,), -1 = escalated."""
        at_exit = self.exit_class[np.arange(len(exit_index)), np.maximum(exit_index, 0)]
        return np.where(exit_index >= 0, at_exit, self.cloud_class)


def answers(
    bundle: Bundle,
    x: NDArray[Any],
    *,
    engine: EdgeEngine | None = None,
    cloud: CloudHalf | None = None,
    with_scores: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Answers:
    """Runs x (N, H, W, C) through the edge engine and, whatever the exits say, through the cloud half too.

    The engine decides who leaves where. `with_scores`: also the scores by which it would decide with other thresholds.
    `advance` is called with the number of samples that are done.
    """
    engine, cloud = engine or EdgeEngine(bundle), cloud or CloudHalf(bundle)
    guarded = any(described.guard is not None for described in bundle.manifest.exits)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        said = engine.infer(batch, force_cut=True)
        in_cloud = cloud.infer([features for features in said.features if features is not None])
        unguarded = engine.infer(batch, guard=False).exit_index if guarded else said.exit_index
        read = _readings(bundle, engine, batch) if with_scores else (np.empty((len(batch), 0)),) * 2
        whose = (said.in_domain, unguarded, said.confidence)
        parts.append((said.exit_index, said.exit_classes, *in_cloud, *whose, *read))
        advance(len(batch))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    left, classes, cloud_class, cloud_confidence, in_domain, unguarded, edge_confidence, scores, exit_in_domain = (
        columns
    )
    return Answers(
        exit_index=left,
        exit_class=classes,
        cloud_class=cloud_class,
        edge_confidence=edge_confidence,
        cloud_confidence=cloud_confidence,
        exit_score=scores if with_scores else None,
        feature_bytes=bundle.manifest.cut.bytes,
        kernel=engine.kernel,
        in_domain=in_domain if guarded else None,
        exit_index_unguarded=unguarded if guarded else None,
        exit_in_domain=exit_in_domain if guarded and with_scores else None,
    )


def answers_on(
    bundle: Bundle,
    dataset: Dataset,
    *,
    split: str = "test",
    with_scores: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Answers:
    """`answers` for a split of `dataset`.

    Raises EvaluationError where the classes or the input's shape are not the data set's.
    """
    require_fit(bundle.manifest, dataset, split)
    x = dataset.split(split).x
    return answers(bundle, x, with_scores=with_scores, advance=advance)


def require_fit(manifest: Manifest, dataset: Dataset, split: str = "test") -> None:
    """Raises EvaluationError where the classes or the input's shape are not the data set's."""
    shape = dataset.split(split).x.shape[1:]
    if tuple(manifest.classes) != dataset.classes or shape != tuple(manifest.input.shape):
        raise EvaluationError(
            f"bundle {manifest.name} takes {list(manifest.input.shape)} and knows {len(manifest.classes)} classes; "
            f"{dataset.name} has {list(shape)} and {len(dataset.classes)}: name the set it was trained on"
        )


def _readings(bundle: Bundle, engine: EdgeEngine, batch: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (N, E) in the precision in which exits are decided, the engine reports them in a smaller one; and at which
    exits (N, E) a sample is in the domain."""
    read = engine.exit_readings(batch)
    columns = [
        exits.score(read.logits[:, number], kind=described.score, temperature=described.temperature)
        for number, described in enumerate(bundle.manifest.exits)
    ]
    return np.stack(columns, axis=1), read.in_domain
