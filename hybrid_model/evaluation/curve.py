"""Accuracy against edge share along a bundle's calibrated path: many thresholds, one pass over the samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model import energy, exits
from hybrid_model.bundle import Bundle, Calibration, Manifest
from hybrid_model.data import Dataset
from hybrid_model.evaluation.answers import Answers, EvaluationError
from hybrid_model.evaluation.figures import EnergyReduction, energy_reduction, exit_error_rate, twin_accuracy
from hybrid_model.intervals import Interval, wilson_interval
from hybrid_model.sample_size import mean_lossless_bytes


@dataclass(frozen=True)
class CurvePoint:
    """A point of the path with its figures on the evaluated split; `number` is its place on the path.

    `passed`: it held in the test on the calibration split. `working`: the exits have its thresholds.
    """

    number: int
    thresholds: list[float]
    exit_share: list[float]
    edge_share: float
    accuracy: float
    accuracy_interval: Interval
    exit_error_rate: list[float | None]
    energy_reduction: EnergyReduction
    passed: bool
    working: bool


@dataclass(frozen=True)
class Curve:
    """The whole path on one split, from strict to loose. The thresholds were fixed before, on other samples."""

    bundle: str
    network_id: str
    dataset: str
    split: str
    fingerprint: str
    samples: int
    alpha: float
    delta: float
    accuracy_edge: float
    accuracy_cloud: float
    accuracy_full_precision_twin: float | None
    radio: str
    points: list[CurvePoint]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def curve(
    bundle: Bundle, dataset: Dataset, said: Answers, *, split: str = "test", radio: energy.Radio = energy.WIFI
) -> Curve:
    """Every point of the bundle's path, from answers with scores.

    Raises EvaluationError for a bundle that has no path, and ValueError for answers without scores.
    """
    manifest, labels = bundle.manifest, dataset.split(split).y
    calibration = require_path(manifest, dataset.name)
    view, sample_bytes = energy.full_view(radio), mean_lossless_bytes(dataset.split(split).x, dataset.kind)
    # Points that held in the test; none where there was no test, or its first point failed.
    tested = (
        range(0)
        if calibration.start is None or calibration.passed is None
        else range(calibration.start, calibration.passed + 1)
    )
    points = []
    for number, point in enumerate(calibration.path):
        left = _exit_index(manifest, said, point.thresholds)
        share = [float((left == e).mean()) for e in range(len(point.thresholds))]
        accuracy = float((said.class_if(left) == labels).mean())
        points.append(
            CurvePoint(
                number=number,
                thresholds=list(point.thresholds),
                exit_share=share,
                edge_share=float((left >= 0).mean()),
                accuracy=accuracy,
                accuracy_interval=wilson_interval(accuracy, len(labels)),
                exit_error_rate=exit_error_rate(said, left, labels),
                energy_reduction=energy_reduction(
                    manifest, share, dataset_name=dataset.name, sample_bytes=sample_bytes, view=view
                ),
                passed=number in tested,
                working=number == calibration.point,
            )
        )
    return Curve(
        bundle=manifest.name,
        network_id=manifest.network_id,
        dataset=dataset.name,
        split=split,
        fingerprint=dataset.fingerprint(split),
        samples=len(labels),
        alpha=calibration.alpha,
        delta=calibration.delta,
        accuracy_edge=float((said.deepest_class == labels).mean()),
        accuracy_cloud=float((said.cloud_class == labels).mean()),
        accuracy_full_precision_twin=twin_accuracy(manifest.twin, dataset, split),
        radio=radio.name,
        points=points,
    )


def require_path(manifest: Manifest, dataset_name: str) -> Calibration:
    """The manifest's calibration. Raises EvaluationError where it has none."""
    if manifest.calibration is None:
        raise EvaluationError(
            f"bundle {manifest.name} has no calibrated path; `dewpoint calibrate {manifest.name}.dew "
            f"--data {dataset_name} --out {manifest.name}.dew` finds one"
        )
    return manifest.calibration


def _exit_index(manifest: Manifest, said: Answers, thresholds: tuple[float, ...]) -> NDArray[np.int64]:
    """The first exit (N,) whose score and guard let a sample go, as the engine decides; -1 where none does."""
    if said.exit_score is None:
        raise ValueError("a curve needs answers with scores; ask for them by with_scores=True")
    leaves = np.stack(
        [
            exits.leaves(said.exit_score[:, number], threshold, manifest.exits[number].score)
            for number, threshold in enumerate(thresholds)
        ],
        axis=1,
    )
    if said.exit_in_domain is not None:
        leaves &= said.exit_in_domain
    return np.where(leaves.any(axis=1), leaves.argmax(axis=1), -1)
