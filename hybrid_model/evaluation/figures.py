"""The figures of a bundle on a split, at its working point."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model import energy
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.bundle.manifest import Twin
from hybrid_model.data import Dataset
from hybrid_model.evaluation.answers import Answers, answers_on
from hybrid_model.evaluation.confidence import ConfidenceGap, expected_calibration_error
from hybrid_model.intervals import Interval, paired_interval, wilson_interval
from hybrid_model.sample_size import mean_lossless_bytes, mean_sample_bytes


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers: as the pipeline answers, with the deepest exit alone, with the cloud half alone.

    `full_precision_twin`, and `full_precision_taught_twin` that learned from the teacher: as the manifest has them;
    null where they were measured on other samples.
    """

    hybrid: float
    edge: float
    cloud: float
    full_precision_twin: float | None
    full_precision_taught_twin: float | None


@dataclass(frozen=True)
class ExitErrorBound:
    """`alpha`: no exit errs more often, with probability 1 - delta over the draw of the calibration split.

    Both null where the working point is not among those that passed the test. `observed`: the greatest error rate of an
    exit, among the samples of this split that left there; null where none left.
    """

    alpha: float | None
    delta: float | None
    observed: float | None


@dataclass(frozen=True)
class EnergyReduction:
    """Energy of a baseline over energy of the network; an estimate.

    `mac` and `full`: of the own full-precision twin; `*_standard`: of ResNet-32, null for other data than CIFAR.
    In the view `full` baselines stand in the cloud, and every sample travels there; `*_at_sensor` stand at the sensor,
    and nothing travels. Null where the bundle's layers do not say how many values they read and write.
    """

    mac: float
    mac_standard: float | None
    full: float | None
    full_standard: float | None
    full_at_sensor: float | None
    full_standard_at_sensor: float | None


@dataclass(frozen=True)
class GuardFigures:
    """What the guards do to samples of the domain; null where the bundle has none.

    `clean_share_lost`: the edge share without guards less that with them, at the same thresholds. `in_domain_share`: of
    all samples, whether they leave or rise.
    """

    clean_share_lost: float | None
    in_domain_share: float | None


@dataclass(frozen=True)
class Evaluation:
    """What `dewpoint evaluate` reports.

    Reductions are `EnergyReduction`'s. Intervals are at 95 %, for independent samples. `accuracy_strict`: the hybrid's
    without the samples whose pixels are not the publisher's own; null where there are none. `accuracy_over_twin`: how
    much more often the hybrid is right than its full-precision twin, sample by sample; null where the manifest does not
    say which samples the twin got right; `accuracy_over_taught_twin`: the same of the twin that learned from the
    teacher. `hard_sample_bytes`: mean
    of the escalated samples by format. `sample_bytes_mean`: of all samples, as they travel to a baseline in the cloud.
    `exit_error_rate`: per exit, among those who left there. `calibration_error`: how far the confidences in final
    labels are from the share of right ones.
    """

    bundle: str
    dataset: str
    samples: int
    exit_share: list[float]
    edge_share: float
    accuracy: Accuracy
    accuracy_interval: dict[str, Interval | None]
    accuracy_strict: float | None
    samples_strict: int | None
    accuracy_over_twin: float | None
    accuracy_over_twin_interval: Interval | None
    accuracy_over_taught_twin: float | None
    accuracy_over_taught_twin_interval: Interval | None
    exit_error_rate: list[float | None]
    exit_error_bound: ExitErrorBound
    calibration_error: ConfidenceGap
    energy_reduction_mac: float
    energy_reduction_mac_standard: float | None
    energy_reduction_full: float | None
    energy_reduction_full_standard: float | None
    energy_reduction_full_at_sensor: float | None
    energy_reduction_full_standard_at_sensor: float | None
    radio: str
    guard: GuardFigures
    feature_bytes_mean: float
    hard_sample_bytes: dict[str, float] | None
    sample_bytes_mean: float
    kernel: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    *,
    split: str = "test",
    said: Answers | None = None,
    radio: energy.Radio = energy.WIFI,
    advance: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Figures of `bundle` (loaded with its cloud tensors) on a split of `dataset`.

    `said`: the answers, where they are known already. `advance` is called with the number of samples that are done.
    Raises EvaluationError where the classes or the input's shape are not the data set's.
    """
    manifest, part = bundle.manifest, dataset.split(split)
    said = said or answers_on(bundle, dataset, split=split, advance=advance)
    taken = [float((said.exit_index == number).mean()) for number in range(len(manifest.exits))]
    right = said.hybrid_class == part.y
    accuracy = Accuracy(
        hybrid=float(right.mean()),
        edge=float((said.deepest_class == part.y).mean()),
        cloud=float((said.cloud_class == part.y).mean()),
        full_precision_twin=twin_accuracy(manifest.twin, dataset, split),
        full_precision_taught_twin=twin_accuracy(manifest.taught_twin, dataset, split),
    )
    strict = np.delete(right, dataset.approx_test) if split == "test" and len(dataset.approx_test) else None
    intervals = {name: _interval(share, len(right)) for name, share in asdict(accuracy).items()}
    if strict is not None:
        intervals["strict"] = wilson_interval(float(strict.mean()), len(strict))
    sample_bytes = mean_lossless_bytes(part.x, dataset.kind)
    reduced = energy_reduction(
        manifest, taken, dataset_name=dataset.name, sample_bytes=sample_bytes, view=energy.full_view(radio)
    )
    errors = exit_error_rate(said, said.exit_index, part.y)
    over_twin, twin_interval = _over(right, manifest.twin, dataset, split)
    over_taught, taught_interval = _over(right, manifest.taught_twin, dataset, split)
    return Evaluation(
        bundle=manifest.name,
        dataset=dataset.name,
        samples=len(part.y),
        exit_share=taken,
        edge_share=float((said.exit_index >= 0).mean()),
        accuracy=accuracy,
        accuracy_interval=intervals,
        accuracy_strict=None if strict is None else float(strict.mean()),
        samples_strict=None if strict is None else len(strict),
        accuracy_over_twin=over_twin,
        accuracy_over_twin_interval=twin_interval,
        accuracy_over_taught_twin=over_taught,
        accuracy_over_taught_twin_interval=taught_interval,
        exit_error_rate=errors,
        exit_error_bound=_error_bound(manifest, errors),
        calibration_error=_calibration_error(said, right),
        **{f"energy_reduction_{name}": value for name, value in asdict(reduced).items()},
        radio=radio.name,
        guard=_guard_figures(said),
        feature_bytes_mean=float(said.feature_bytes),
        hard_sample_bytes=mean_sample_bytes(part.x[said.exit_index < 0], dataset.kind),
        sample_bytes_mean=sample_bytes,
        kernel=said.kernel,
    )


def energy_reduction(
    manifest: Manifest,
    exit_share: Sequence[float],
    *,
    dataset_name: str,
    sample_bytes: float,
    view: energy.View = energy.FULL,
) -> EnergyReduction:
    """`exit_share` (E,): who leaves where; the others rise. `sample_bytes`: of a whole sample sent to a baseline."""
    layers, classes = manifest.layers, len(manifest.classes)
    has_standard = dataset_name in energy.STANDARD_FOR

    def reduction(of_view: energy.View, sent_bytes: float) -> tuple[float, float | None]:
        spent = energy.mean_energy_j(layers, exit_share, of_view, manifest.cut.bytes)
        standard = (
            energy.standard_energy_j(view=of_view, sent_bytes=sent_bytes, classes=classes) if has_standard else None
        )
        own = energy.twin_energy_j(layers, of_view, sent_bytes) / spent
        return own, None if standard is None else standard / spent

    known = energy.has_traffic(layers)
    mac, mac_standard = reduction(energy.MAC, 0.0)
    full, full_standard = reduction(view, sample_bytes) if known else (None, None)
    at_sensor, standard_at_sensor = reduction(view, 0.0) if known else (None, None)
    return EnergyReduction(mac, mac_standard, full, full_standard, at_sensor, standard_at_sensor)


def twin_accuracy(twin: Twin | None, dataset: Dataset, split: str) -> float | None:
    """A full-precision twin's accuracy, if it was measured on the very samples of this split."""
    if twin is None or twin.fingerprint is None or twin.fingerprint != dataset.fingerprint(split):
        return None
    return twin.accuracy


def _over(
    right: NDArray[np.bool_], twin: Twin | None, dataset: Dataset, split: str
) -> tuple[float, Interval] | tuple[None, None]:
    """How much more often `right` (N,) than a twin, where the manifest says which of these samples it got right."""
    if twin is None or twin.right is None or twin_accuracy(twin, dataset, split) is None:
        return None, None
    bits = np.unpackbits(np.frombuffer(base64.b64decode(twin.right), dtype=np.uint8))
    return paired_interval(right, bits[: len(right)].astype(np.bool_)) if len(bits) >= len(right) else (None, None)


def exit_error_rate(
    said: Answers, exit_index: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]]
) -> list[float | None]:
    """Per exit the share of wrong answers among the samples that left there, if samples left at `exit_index` (N,)."""
    wrong = said.class_if(exit_index) != labels
    here = [exit_index == number for number in range(said.exit_class.shape[1])]
    return [float(wrong[rows].mean()) if rows.any() else None for rows in here]


def _guard_figures(said: Answers) -> GuardFigures:
    if said.in_domain is None or said.exit_index_unguarded is None:
        return GuardFigures(clean_share_lost=None, in_domain_share=None)
    return GuardFigures(
        clean_share_lost=float((said.exit_index_unguarded >= 0).mean() - (said.exit_index >= 0).mean()),
        in_domain_share=float(said.in_domain.mean()),
    )


def _calibration_error(said: Answers, right: NDArray[np.bool_]) -> ConfidenceGap:
    left = said.exit_index >= 0
    return ConfidenceGap(
        edge=expected_calibration_error(said.edge_confidence[left], right[left]),
        escalated=expected_calibration_error(said.cloud_confidence[~left], right[~left]),
    )


def _interval(share: float | None, samples: int) -> Interval | None:
    return None if share is None else wilson_interval(share, samples)


def _error_bound(manifest: Manifest, errors: list[float | None]) -> ExitErrorBound:
    calibration = manifest.calibration
    holds = calibration if calibration is not None and calibration.guaranteed else None
    return ExitErrorBound(
        alpha=holds.alpha if holds else None,
        delta=holds.delta if holds else None,
        observed=max((rate for rate in errors if rate is not None), default=None),
    )
