"""Calibration of a trained bundle: temperatures, the path of thresholds, its test, the working point, histograms.

Everything that is chosen comes from the tuning split; the calibration split serves the test and the histograms alone.
Labels serve here, never in an exit decision. docs/explanation/calibration.md says what is promised.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import exits
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.bundle.calibration import Calibration, CalibrationSplit, Histogram, PathPoint, TuningSplit
from hybrid_model.calibration.bf16 import fit_bf16
from hybrid_model.calibration.guard import fit_guards, guard_limits, with_limits, without_guards
from hybrid_model.calibration.learn_then_test import COMFORT, point_p_value, samples_needed, walked
from hybrid_model.calibration.reuse import fit_reuse
from hybrid_model.calibration.threshold_path import Judged, ScoreRange, enabled_exits, exit_taken, threshold_path
from hybrid_model.calibration.wish import CalibrationError, OperatingPoint, wish_of
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.data import Dataset, Split
from hybrid_model.data.splits import without_overlap
from hybrid_model.runtime import EdgeEngine

#: Edge shares for which the path has a point, beside none and the wanted one.
SHARES = tuple(number / 50 for number in range(1, 51))
_BINS = 10
#: Of ln T of the final classifier: a network that is trained is seldom off by more than e.
_CLOUD_PRIOR_DEVIATION = 0.5
_BATCH = 250


@dataclass(frozen=True, eq=False)
class Predictions:
    """What both halves say of N samples, whoever would leave, and the truth.

    exit_logits (N, E, K), cloud_logits (N, K), labels (N,). guard_distances (N, E): squared, 0 at exits without a
    guard; None where there are none. features: of each sample, packed; empty where they were not kept.
    """

    exit_logits: npt.NDArray[np.floating[Any]]
    cloud_logits: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.integer[Any]]
    guard_distances: npt.NDArray[np.float32] | None = None
    features: Sequence[bytes] = ()


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What calibration found: temperatures, one an exit, that of the final classifier, and the figures beside.

    guard_limits (E,) float64: squared distances up to which a sample is in the domain; None without guards.
    """

    temperatures: tuple[float, ...]
    cloud_temperature: float
    calibration: Calibration
    guard_limits: npt.NDArray[np.float64] | None = None


def calibrate(
    bundle: Bundle,
    dataset: Dataset,
    wish: OperatingPoint | None = None,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Bundle:
    """`bundle` (loaded with its cloud tensors) with guards, temperatures, thresholds and `calibration` found anew.

    Guards are fitted to the training split. Then the edge engine and the cloud half run over the tuning split and the
    calibration split, and over near-duplicates of pictures of the latter (`fit_reuse`); on the calibration split the
    cloud half runs in bfloat16 as well (`fit_bf16`). `wish` None: as the bundle was calibrated before, else as its
    recipe says. `advance` is called with the number of samples that are done.
    Raises CalibrationError where bundle and data set do not belong together or a result is not finite.
    """
    manifest = bundle.manifest
    _check_fit(manifest, dataset)
    wish = wish or wish_of(manifest)
    tested = dataset.calibration.take(without_overlap(dataset, "calibration"))
    bundle = fit_guards(bundle, dataset.train.x) if wish.guard_share_lost else without_guards(bundle)
    manifest = bundle.manifest
    engine, cloud = EdgeEngine(bundle), CloudHalf(bundle)
    later = _predictions(engine, cloud, tested, advance)
    found = calibrate_predictions(
        _predictions(engine, cloud, dataset.tuning, advance),
        later,
        wish,
        tuning_split=TuningSplit(samples=len(dataset.tuning), fingerprint=dataset.fingerprint("tuning")),
        calibration_split=_described(dataset, tested),
    )
    calibration = found.calibration
    thresholds = calibration.path[calibration.point].thresholds
    updated = [
        described.model_copy(update={"score": calibration.score, "temperature": temperature, "threshold": threshold})
        for described, temperature, threshold in zip(manifest.exits, found.temperatures, thresholds, strict=True)
    ]
    changed = manifest.model_copy(
        update={
            "exits": tuple(updated),
            "cloud_temperature": found.cloud_temperature,
            "calibration": calibration,
            "bf16": fit_bf16(bundle, later.features),
        }
    )
    if found.guard_limits is not None:
        changed = with_limits(changed, found.guard_limits)
    calibrated = dataclasses.replace(bundle, manifest=changed)
    return dataclasses.replace(
        calibrated, manifest=changed.model_copy(update={"reuse": fit_reuse(calibrated, tested.x)})
    )


def calibrate_predictions(
    tuning: Predictions,
    tested: Predictions,
    wish: OperatingPoint,
    *,
    tuning_split: TuningSplit,
    calibration_split: CalibrationSplit,
) -> Calibrated:
    """Temperatures, limits of the guards and the calibration, from what both halves said of both splits.

    Raises CalibrationError for logits that are not finite.
    """
    exit_count, classes = tuning.exit_logits.shape[1:]
    for split, name in ((tuning, "tuning"), (tested, "calibration")):
        for logits, who in ((split.exit_logits, "exits give"), (split.cloud_logits, "the cloud half gives")):
            if not np.isfinite(logits).all():
                raise CalibrationError(f"{who} logits that are not finite on the {name} split; train the network again")
    temperatures = [
        fit_temperature(tuning.exit_logits[:, e], tuning.labels) if wish.fit_temperature else 1.0
        for e in range(exit_count)
    ]
    scores = ScoreRange(wish.score, classes)
    limits = _guard_limits(tuning, temperatures, scores, wish)
    judged, judged_later = (judge(split, temperatures, scores, limits) for split in (tuning, tested))
    shares = {*SHARES, wish.edge_share} if wish.by == "edge_share" else set(SHARES)
    thresholds = threshold_path(judged, sorted(shares), scores)
    path = [_figures(judged, vector, scores) for vector in thresholds]
    start = _start(path, thresholds, len(tested.labels), wish, scores)
    p_values = _walk(judged_later, thresholds[start:], wish, scores) if start is not None else []
    for number, p_value in enumerate(p_values, start or 0):
        path[number] = path[number].model_copy(update={"p_value": p_value})
    passed = max((n for n, at in enumerate(path) if at.p_value is not None and at.p_value <= wish.delta), default=None)
    accuracy_cloud = float(judged.cloud_right.mean())
    point, chosen_by = _working_point(path, passed, accuracy_cloud, wish)
    calibration = Calibration(
        score=wish.score,
        fit_temperature=wish.fit_temperature,
        tuning=tuning_split,
        calibration=calibration_split,
        path=tuple(path),
        start=start,
        passed=passed,
        alpha=wish.alpha,
        delta=wish.delta,
        point=point,
        chosen_by=chosen_by,
        accuracy_cloud=accuracy_cloud,
        histogram=tuple(_histogram(column, scores) for column in _ranks(tested, temperatures, scores).T),
        guard_share_lost=wish.guard_share_lost,
    )
    rises = exit_taken(judged.ranked, thresholds[point]) < 0
    return Calibrated(tuple(temperatures), fit_cloud_temperature(tuning, rises), calibration, limits)


def fit_cloud_temperature(tuning: Predictions, rises: npt.NDArray[np.bool_]) -> float:
    """The final classifier's T, by the samples (N,) of the tuning split that rise at the working point.

    The others are easier: the cloud is not asked about them, and they must not speak. Where few rise, 1 is likelier
    than what a handful says: ln T has a normal prior around 0.
    """
    if not rises.any():
        return 1.0
    return fit_temperature(tuning.cloud_logits[rises], tuning.labels[rises], prior_deviation=_CLOUD_PRIOR_DEVIATION)


def fit_temperature(
    logits: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]],
    *,
    prior_deviation: float = math.inf,
) -> float:
    """The T in 0.5 .. 8 that minimizes the negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2. With a `prior_deviation`,
    the most probable T where ln T is normal around 0 with that standard deviation. logits (N, K), labels (N,).
    """
    grid = np.geomspace(0.5, 8.0, 101)
    rows = np.arange(len(labels))
    losses = [
        -np.log(np.maximum(exits.softmax(logits, float(t))[rows, labels], 1e-12)).sum()
        + 0.5 * (math.log(t) / prior_deviation) ** 2
        for t in grid
    ]
    return float(grid[int(np.argmin(losses))])


def samples_to_run(dataset: Dataset) -> int:
    """How many samples `calibrate` runs: the tuning split and what of the calibration split is tested."""
    return len(dataset.tuning) + int(without_overlap(dataset, "calibration").sum())


def judge(
    said: Predictions,
    temperatures: Sequence[float],
    scores: ScoreRange,
    guard_limits: npt.NDArray[np.float64] | None = None,
) -> Judged:
    """Predictions as ranks and errors, with one temperature an exit, and one limit where there are guards."""
    ranked = _ranks(said, temperatures, scores)
    if guard_limits is not None and said.guard_distances is not None:
        # As the engine decides: a distance that is no number is not within any limit.
        ranked = np.where(said.guard_distances.astype(np.float64) <= guard_limits, ranked, np.inf)
    return Judged(
        ranked=ranked,
        wrong=said.exit_logits.argmax(axis=2) != said.labels[:, np.newaxis],
        cloud_right=said.cloud_logits.argmax(axis=1) == said.labels,
    )


def _ranks(said: Predictions, temperatures: Sequence[float], scores: ScoreRange) -> npt.NDArray[np.float64]:
    """Scores as ranks (N, E), whatever the guards say."""
    columns = [
        scores.rank(exits.score(said.exit_logits[:, e], kind=scores.kind, temperature=temperature))
        for e, temperature in enumerate(temperatures)
    ]
    return np.stack(columns, axis=1)


def _guard_limits(
    tuning: Predictions, temperatures: Sequence[float], scores: ScoreRange, wish: OperatingPoint
) -> npt.NDArray[np.float64] | None:
    """The guards' limits (E,), by those tuning samples that leave by their scores at the wished edge share."""
    if tuning.guard_distances is None:
        return None
    unguarded = judge(tuning, temperatures, scores)
    thresholds = threshold_path(unguarded, [wish.edge_share], scores)[-1]
    return guard_limits(tuning.guard_distances, exit_taken(unguarded.ranked, thresholds), wish.guard_share_lost)


def _check_fit(manifest: Manifest, dataset: Dataset) -> None:
    shape = dataset.tuning.x.shape[1:]
    if manifest.classes != dataset.classes or tuple(manifest.input.shape) != shape:
        raise CalibrationError(
            f"bundle {manifest.name} takes {list(manifest.input.shape)} and knows {len(manifest.classes)} classes; "
            f"{dataset.name} has {list(shape)} and {len(dataset.classes)}: name the set it was trained on"
        )


def _predictions(engine: EdgeEngine, cloud: CloudHalf, split: Split, advance: Callable[[int], None]) -> Predictions:
    logits, distances, in_cloud, features = [], [], [], []
    for start in range(0, len(split), _BATCH):
        batch = split.x[start : start + _BATCH]
        read = engine.exit_readings(batch)
        logits.append(read.logits)
        distances.append(read.distances)
        in_cloud.append(cloud.logits(read.features))
        features += read.features
        advance(len(batch))
    joined = np.concatenate(logits), np.concatenate(in_cloud), split.y, np.concatenate(distances)
    return Predictions(*joined, features)


def _described(dataset: Dataset, tested: Split) -> CalibrationSplit:
    """The calibration split as it stands in the manifest. Recordings and people make samples depend on each other."""
    whole, note = dataset.calibration, ""
    independent = whole.group is None and whole.segment is None
    if not independent:
        note = "approximate: windows of one person are not independent"
        if len(tested) < len(whole):
            note += f"; {len(tested)} of {len(whole)} windows, no two of which overlap"
    return CalibrationSplit(
        samples=len(tested), fingerprint=dataset.fingerprint("calibration"), independent=independent, note=note
    )


def _figures(judged: Judged, thresholds: Sequence[float], scores: ScoreRange) -> PathPoint:
    """A point of the path with what it gives on the tuning split."""
    taken = exit_taken(judged.ranked, thresholds)
    here = [taken == e for e in range(len(thresholds))]
    errors = [int(judged.wrong[rows, e].sum()) for e, rows in enumerate(here)]
    counts = [int(rows.sum()) for rows in here]
    total = len(taken)
    return PathPoint(
        thresholds=tuple(scores.score(rank) for rank in thresholds),
        edge_share=sum(counts) / total,
        exit_share=tuple(count / total for count in counts),
        accuracy=judged.accuracy(taken),
        error_rate=tuple(k / n if n else None for k, n in zip(errors, counts, strict=True)),
    )


def _start(
    path: Sequence[PathPoint],
    thresholds: Sequence[Sequence[float]],
    samples: int,
    wish: OperatingPoint,
    scores: ScoreRange,
) -> int | None:
    """Where the longest run of points begins at which every enabled exit may expect enough of `samples` samples.

    Comfortably enough for a test, by the shares of the tuning split: where the test begins must not depend on the
    samples that it looks at. An exit that has just begun to let samples go has too few of them, and ends a run.
    """
    enough = COMFORT * samples_needed(wish.alpha, wish.delta)
    best: tuple[int, int | None] = (0, None)
    run = 0
    for number, (point, vector) in enumerate(zip(path, thresholds, strict=True)):
        enabled = enabled_exits(vector, scores)
        run = run + 1 if enabled and min(point.exit_share[e] for e in enabled) * samples > enough else 0
        if run and run >= best[0]:
            best = (run, number - run + 1)
    return best[1]


def _walk(
    judged: Judged, thresholds: Sequence[Sequence[float]], wish: OperatingPoint, scores: ScoreRange
) -> list[float]:
    """p-values on the calibration split from the start to the first failure."""
    return walked(
        (
            point_p_value(exit_taken(judged.ranked, vector), judged.wrong, enabled_exits(vector, scores), wish.alpha)
            for vector in thresholds
        ),
        wish.delta,
    )


def _working_point(
    path: Sequence[PathPoint], passed: int | None, accuracy_cloud: float, wish: OperatingPoint
) -> tuple[int, dict[Any, float]]:
    """The working point's number, and what chose it."""
    if wish.by == "guarantee":
        return passed or 0, {"guarantee": wish.alpha}
    if wish.by == "accuracy_budget":
        least = accuracy_cloud - wish.accuracy_budget - 1e-12
        kept = [number for number, point in enumerate(path) if point.accuracy >= least]
        return kept[-1], {"accuracy_budget": wish.accuracy_budget}
    nearest = min(range(len(path)), key=lambda number: abs(path[number].edge_share - wish.edge_share))
    return nearest, {"edge_share": wish.edge_share}


def _histogram(ranked: npt.NDArray[np.float64], scores: ScoreRange) -> Histogram:
    """Counts in ten bins of about equal counts, between the bounds of the score; bins that coincide are one."""
    values = np.asarray([scores.score(rank) for rank in ranked])
    bounds = [scores.score(scores.surest), scores.score(scores.least_sure), float(values.min()), float(values.max())]
    inner = np.quantile(values, np.linspace(0.0, 1.0, _BINS + 1)[1:-1])
    edges = np.unique([min(bounds), *inner, max(bounds)])
    counts, _ = np.histogram(values, bins=edges)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(int(count) for count in counts))
