"""A bundle on a whole split, without brokers: the edge engine and the cloud half, as the pipeline runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model import energy
from hybrid_model.bundle import Bundle
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.data import Dataset
from hybrid_model.runtime import EdgeEngine

BATCH = 250


class EvaluationError(ValueError):
    """A bundle and a data set that do not belong together."""


@dataclass(frozen=True)
class Answers:
    """What both halves say of every sample of a split.

    exit_index (N,) int8, -1 = escalated; edge_class (N,) at the exit taken; deepest_class (N,) as if none had left;
    cloud_class (N,) as if every sample had been escalated; feature_bytes per sample.
    """

    exit_index: NDArray[np.int8]
    edge_class: NDArray[np.int32]
    deepest_class: NDArray[np.int32]
    cloud_class: NDArray[np.int64]
    feature_bytes: int

    @property
    def hybrid_class(self) -> NDArray[np.int64]:
        """The final label's class (N,): the exit's where a sample left, else the cloud's."""
        return np.where(self.exit_index >= 0, self.edge_class, self.cloud_class)


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers: as the pipeline answers, with the deepest exit alone, with the cloud half alone."""

    hybrid: float
    edge: float
    cloud: float


@dataclass(frozen=True)
class Evaluation:
    """What `dewpoint evaluate` reports; energy reduction is against the network's own full-precision twin."""

    bundle: str
    dataset: str
    samples: int
    exit_share: list[float]
    edge_share: float
    accuracy: Accuracy
    energy_reduction_mac: float
    energy_reduction_mac_standard: float | None
    feature_bytes_mean: float
    kernel: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def answers(
    bundle: Bundle,
    x: NDArray[Any],
    *,
    engine: EdgeEngine | None = None,
    cloud: CloudHalf | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Answers:
    """Runs x (N, H, W, C) through the edge engine and, whatever the exits say, through the cloud half too.

    `advance` is called with the number of samples that are done.
    """
    engine, cloud = engine or EdgeEngine(bundle), cloud or CloudHalf(bundle)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, len(x), BATCH):
        batch = x[start : start + BATCH]
        said = engine.infer(batch, force_cut=True)
        cloud_class, _ = cloud.infer([f for f in said.features if f is not None])
        parts.append((said.exit_index, said.class_index, said.exit_classes[:, -1], cloud_class))
        advance(len(batch))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Answers(columns[0], columns[1], columns[2], columns[3], bundle.manifest.cut.bytes)


def evaluate(
    bundle: Bundle, dataset: Dataset, *, split: str = "test", advance: Callable[[int], None] = lambda count: None
) -> Evaluation:
    """Figures of `bundle` (loaded with its cloud tensors) on a split of `dataset`.

    Raises EvaluationError where the classes or the input's shape are not the data set's.
    """
    manifest, part = bundle.manifest, dataset.split(split)
    if tuple(manifest.classes) != dataset.classes or part.x.shape[1:] != tuple(manifest.input.shape):
        raise EvaluationError(
            f"bundle {manifest.name} takes {list(manifest.input.shape)} and knows {len(manifest.classes)} classes; "
            f"{dataset.name} has {list(part.x.shape[1:])} and {len(dataset.classes)}: name the set it was trained on"
        )
    engine = EdgeEngine(bundle)
    said = answers(bundle, part.x, engine=engine, advance=advance)
    taken = [float((said.exit_index == number).mean()) for number in range(len(manifest.exits))]
    left = said.exit_index >= 0
    spent = energy.mean_energy_j(manifest.layers, taken)
    standard = energy.standard_energy_j() if dataset.name in ("cifar10", "cifar100") else None
    return Evaluation(
        bundle=manifest.name,
        dataset=dataset.name,
        samples=len(part.y),
        exit_share=taken,
        edge_share=float(left.mean()),
        accuracy=Accuracy(
            hybrid=float((said.hybrid_class == part.y).mean()),
            edge=float((said.deepest_class == part.y).mean()),
            cloud=float((said.cloud_class == part.y).mean()),
        ),
        energy_reduction_mac=energy.twin_energy_j(manifest.layers) / spent,
        energy_reduction_mac_standard=None if standard is None else standard / spent,
        feature_bytes_mean=float(said.feature_bytes),
        kernel=engine.kernel,
    )
