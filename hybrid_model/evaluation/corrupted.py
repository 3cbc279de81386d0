"""The figures of a bundle on corrupted pictures: the fifteen common corruptions, and two faults of everyday cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model.bundle import Bundle
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.corruptions import CAMERA, KINDS, SEVERITIES, corrupt, photograph
from hybrid_model.data import Dataset
from hybrid_model.evaluation.answers import BATCH, EvaluationError, require_fit
from hybrid_model.runtime import EdgeEngine, Engine

Pictures = NDArray[np.uint8]
#: Pictures (N, H, W, C) and their numbers in the split (N,) -> the pictures, corrupted.
Way = Callable[[Pictures, NDArray[np.int64]], Pictures]


@dataclass(frozen=True)
class CorruptedFigures:
    """Shares, 0 to 1, of the samples of one kind of picture at the bundle's working point.

    `edge_share`: leave at an exit; `confident_accuracy`: right among those, null where none leaves; `hybrid`: right, as
    the pipeline answers; `wrong_but_sure`: leave at an exit and are wrong, among all samples.
    """

    edge_share: float
    confident_accuracy: float | None
    hybrid: float
    wrong_but_sure: float


@dataclass(frozen=True)
class CorruptionReport:
    """What `dewpoint evaluate --corruptions` reports, of the first `samples` of a split.

    `kinds`: by name, one entry for each severity from 1 to 5; `mean`: over all kinds and severities, of
    `confident_accuracy` over those where any sample leaves; `camera`: by name; `uncorrupted`: the same samples as they
    are.
    """

    bundle: str
    dataset: str
    split: str
    samples: int
    kinds: dict[str, list[CorruptedFigures]]
    mean: CorruptedFigures
    camera: dict[str, CorruptedFigures]
    uncorrupted: CorruptedFigures

    def to_json(self) -> dict[str, Any]:
        """As plain data: `corruptions` (each kind's five, and `mean`), `camera`, `uncorrupted`, `samples_corrupted`."""
        told = asdict(self)
        return {
            "corruptions": {**told["kinds"], "mean": told["mean"]},
            "camera": told["camera"],
            "uncorrupted": told["uncorrupted"],
            "samples_corrupted": self.samples,
        }


def samples_to_corrupt(dataset: Dataset, samples: int | None = None, *, split: str = "test") -> int:
    """How many samples `evaluate_corruptions` runs in all, those of every kind and severity counted."""
    return min(len(dataset.split(split)), samples or len(dataset.split(split))) * len(_ways())


def evaluate_corruptions(
    bundle: Bundle,
    dataset: Dataset,
    *,
    split: str = "test",
    samples: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> CorruptionReport:
    """Figures of `bundle` (loaded with its cloud tensors) on the first `samples` of a split, corrupted in every way.

    All of the split where `samples` is None. Only what rises is run through the cloud half. `advance` is called with
    the number of samples that are done. Raises EvaluationError where the samples are no pictures, or the classes or the
    input's shape are not the data set's.
    """
    require_pictures(dataset)
    require_fit(bundle.manifest, dataset, split)
    part = dataset.split(split)
    x, labels = part.x[:samples], part.y[:samples]
    engine, cloud = EdgeEngine(bundle), CloudHalf(bundle)
    found = {named: _figures(engine, cloud, way, x, labels, advance) for named, way in _ways().items()}
    kinds = {kind: [found[kind, severity] for severity in SEVERITIES] for kind in KINDS}
    return CorruptionReport(
        bundle=bundle.manifest.name,
        dataset=dataset.name,
        split=split,
        samples=len(x),
        kinds=kinds,
        mean=_mean([one for of_kind in kinds.values() for one in of_kind]),
        camera={name: found[name, 0] for name in CAMERA},
        uncorrupted=found["uncorrupted", 0],
    )


def require_pictures(dataset: Dataset) -> None:
    """Raises EvaluationError for a data set of other samples than pictures."""
    if dataset.kind != "image":
        raise EvaluationError(
            f"{dataset.name} holds readings of sensors; corruptions are for pictures: leave them out, or name a set of "
            "pictures, such as digits or cifar10, with its bundle"
        )


def _ways() -> dict[tuple[str, int], Way]:
    """Every way, by name and severity, 0 where there is only one."""
    ways: dict[tuple[str, int], Way] = {("uncorrupted", 0): lambda x, index: x}
    for name in CAMERA:
        ways[name, 0] = lambda x, index, name=name: photograph(x, name, index=index)  # type: ignore[misc]
    for kind in KINDS:
        for severity in SEVERITIES:
            ways[kind, severity] = lambda x, index, kind=kind, severity=severity: corrupt(  # type: ignore[misc]
                x, kind, severity, index=index
            )
    return ways


def _figures(
    engine: Engine,
    cloud: CloudHalf,
    way: Way,
    x: Pictures,
    labels: NDArray[np.int64],
    advance: Callable[[int], None],
) -> CorruptedFigures:
    leaves, right = np.zeros(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.bool_)
    for start in range(0, len(x), BATCH):
        rows = slice(start, min(start + BATCH, len(x)))
        said = engine.infer(way(x[rows], np.arange(rows.start, rows.stop)))
        rises = said.exit_index < 0
        answered = said.class_index.astype(np.int64)
        answered[rises], _ = cloud.infer([one for one in said.features if one is not None])
        leaves[rows], right[rows] = ~rises, answered == labels[rows]
        advance(rows.stop - rows.start)
    return CorruptedFigures(
        edge_share=float(leaves.mean()),
        confident_accuracy=float(right[leaves].mean()) if leaves.any() else None,
        hybrid=float(right.mean()),
        wrong_but_sure=float((leaves & ~right).mean()),
    )


def _mean(found: Sequence[CorruptedFigures]) -> CorruptedFigures:
    confident = [one.confident_accuracy for one in found if one.confident_accuracy is not None]
    return CorruptedFigures(
        edge_share=float(np.mean([one.edge_share for one in found])),
        confident_accuracy=float(np.mean(confident)) if confident else None,
        hybrid=float(np.mean([one.hybrid for one in found])),
        wrong_but_sure=float(np.mean([one.wrong_but_sure for one in found])),
    )
