"""What one trained network gives: every subset of its exits, along a path of thresholds, on the tuning split.

And of all such points the Pareto front: those that nothing else beats.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import optuna

from hybrid_model import energy, exits
from hybrid_model.bundle import Manifest
from hybrid_model.calibration.threshold_path import Judged, ScoreRange, exit_taken, threshold_path
from hybrid_model.evaluation import energy_reduction
from hybrid_model.exploration.latency import Latency

#: Edge shares at which thresholds are set, for each subset of exits; 0 is always there.
EDGE_SHARES = tuple(round(0.05 * step, 2) for step in range(1, 20))
#: A share is a whole number of samples; a point this much below the wanted share still counts as there.
_SHARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class WorkingPoint:
    """A network at one working point, with the figures that its samples of the tuning split gave.

    `exits`: which of the network's exits are switched on; `thresholds`: one for each of those, as scores.
    `exit_share`: one for each of the network's exits. The energies are means over all samples, in microjoules; the
    reductions are against the network's own full-precision twin. `feature_bytes`: of a sample that rises. The latency
    is the mean over all samples of what the edge takes, in microseconds and in units of the reference network's.
    """

    exits: tuple[int, ...]
    thresholds: tuple[float, ...]
    exit_share: tuple[float, ...]
    edge_share: float
    accuracy: float
    energy_mac_uj: float
    energy_full_uj: float | None
    energy_reduction_mac: float
    energy_reduction_full: float | None
    feature_bytes: int
    edge_latency_us: float
    edge_latency_ratio: float

    def to_json(self) -> dict[str, Any]:
        """As plain data; `WorkingPoint(**...)` takes it back."""
        return asdict(self)


def curve(
    manifest: Manifest,
    latency: Latency,
    *,
    dataset_name: str,
    sample_bytes: float,
    exit_logits: npt.NDArray[np.floating[Any]],
    final_logits: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]],
    in_domain: npt.NDArray[np.bool_] | None = None,
    edge_shares: Sequence[float] = EDGE_SHARES,
) -> list[WorkingPoint]:
    """Every non-empty subset of the exits at every edge share; the first point escalates all.

    exit_logits (N, E, K), final_logits (N, K), labels (N,), all of one split; `sample_bytes` of a sample sent whole, by
    which the view `full` judges the twin. in_domain (N, E): where the guards take samples in; None: everywhere.
    Temperatures and kind of score are the
    manifest's. An exit that is switched off costs no energy. Labels judge what was decided; they decide nothing but
    the thresholds.
    """
    count = exit_logits.shape[1]
    scores = ScoreRange(manifest.exits[0].score, exit_logits.shape[2])
    ranked = np.stack(
        [
            scores.rank(exits.score(exit_logits[:, e], kind=scores.kind, temperature=manifest.exits[e].temperature))
            for e in range(count)
        ],
        axis=1,
    )
    if in_domain is not None:
        ranked = np.where(in_domain, ranked, np.inf)
    wrong = exit_logits.argmax(axis=2) != labels[:, None]
    final_right = final_logits.argmax(axis=1) == labels
    points: list[WorkingPoint] = []
    for chosen in _subsets(count):
        columns = list(chosen)
        layers = tuple(layer for layer in manifest.layers if layer.role != "exit" or layer.stage in chosen)
        without = manifest.model_copy(update={"layers": layers})
        judged = Judged(ranked[:, columns], wrong[:, columns], final_right)
        for thresholds in threshold_path(judged, edge_shares, scores):
            taken = exit_taken(judged.ranked, thresholds)
            rises = taken < 0
            if rises.all() and points:
                continue  # to escalate all is the same with any exits; the first subset said it
            share = [float((taken == columns.index(e)).mean()) if e in chosen else 0.0 for e in range(count)]
            saved = energy_reduction(without, share, dataset_name=dataset_name, sample_bytes=sample_bytes)
            points.append(
                WorkingPoint(
                    exits=chosen,
                    thresholds=tuple(scores.score(t) for t in thresholds),
                    exit_share=tuple(share),
                    edge_share=float(1.0 - rises.mean()),
                    accuracy=judged.accuracy(taken),
                    energy_mac_uj=_spent_uj(without, share, energy.MAC),
                    energy_full_uj=_spent_uj(without, share, energy.FULL) if energy.has_traffic(layers) else None,
                    energy_reduction_mac=saved.mac,
                    energy_reduction_full=saved.full,
                    feature_bytes=manifest.cut.bytes,
                    edge_latency_us=latency.mean_us(share),
                    edge_latency_ratio=latency.mean_ratio(share),
                )
            )
    return points


def judged_point(points: Sequence[WorkingPoint], edge_share: float) -> WorkingPoint:
    """The most accurate of the points whose edge share is at least `edge_share`, by which a trial is judged.

    The greatest edge share there is, where none comes so far.
    """
    far = [p for p in points if p.edge_share >= edge_share - _SHARE_TOLERANCE]
    if not far:
        return max(points, key=lambda p: (p.edge_share, p.accuracy))
    return max(far, key=lambda p: (p.accuracy, p.edge_share, p.energy_reduction_mac))


def pareto_front(
    values: Sequence[Sequence[float]], directions: Sequence[Literal["maximize", "minimize"]]
) -> npt.NDArray[np.intp]:
    """Indices, ascending, of the rows that no other row dominates: at least as good throughout, better somewhere.

    values (N, M), one direction per column. Rows with the same values stand or fall together.
    """
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), directions=list(directions))
    study.add_trials([optuna.trial.create_trial(values=list(row)) for row in values])
    return np.array(sorted(trial.number for trial in study.best_trials), dtype=np.intp)


def _spent_uj(manifest: Manifest, exit_share: Sequence[float], view: energy.View) -> float:
    return 1e6 * energy.mean_energy_j(manifest.layers, exit_share, view, manifest.cut.bytes)


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    """Every non-empty subset of `count` exits, all of them first."""
    for size in range(count, 0, -1):
        yield from itertools.combinations(range(count), size)
