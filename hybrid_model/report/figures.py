"""Everything that the report tells, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hybrid_model import energy
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.data import SPLITS
from hybrid_model.data.own import OwnData
from hybrid_model.evaluation import Answers, curve, evaluate
from hybrid_model.intervals import wilson_interval
from hybrid_model.planning import Choice
from hybrid_model.report.wrong import Mistake
from hybrid_model.training import TrainingRun

__all__ = ["confusion_matrix", "figures_of"]

#: Samples a second for which the load of network and cloud is told.
RATES_HZ: Final = (1, 10, 100, 1000)
_CONFUSIONS: Final = 10


def figures_of(
    bundle: Bundle,
    own: OwnData,
    run: TrainingRun,
    choices: Sequence[Choice],
    said: Answers,
    mistakes: Sequence[Mistake],
    radio: energy.Radio,
) -> dict[str, Any]:
    """All figures; `said` are the answers to the test split, with scores where the bundle is calibrated."""
    manifest, dataset = bundle.manifest, own.dataset
    counts = confusion_matrix(dataset.test.y, said.hybrid_class, len(dataset.classes))
    evaluation = evaluate(bundle, dataset, said=said, radio=radio)
    return {
        "bundle": {
            "file": bundle.path.name,
            "bytes": bundle.path.stat().st_size if bundle.path.is_file() else None,
            "name": manifest.name,
            "network_id": manifest.network_id,
            "input": manifest.input.model_dump(mode="json"),
            "classes": list(manifest.classes),
        },
        "samples": _samples(own),
        "left_out": [asdict(one) for one in own.left_out],
        "left_out_reasons": dict(Counter(one.reason for one in own.left_out).most_common()),
        "notes": list(own.notes),
        "choices": [asdict(one) for one in choices],
        "training": {
            "recipe": run.recipe.name,
            "seed": run.recipe.seed,
            "precision": run.precision,
            "seconds": run.seconds,
            "machine": run.machine,
            "finished": run.finished,
            "history": [dict(line) for line in run.history],
        },
        "evaluation": evaluation.to_json(),
        "confusion": counts.tolist(),
        "confusions": _confusions(counts, dataset.classes),
        "classes": _classes(counts, dataset.classes),
        "curve": None if manifest.calibration is None else curve(bundle, dataset, said, radio=radio).to_json(),
        "surest_mistakes": [_mistake(one, dataset.classes) for one in mistakes],
        "energy_j": _energy(manifest, evaluation.exit_share, evaluation.sample_bytes_mean, radio),
        "load": _load(manifest, evaluation.exit_share, evaluation.sample_bytes_mean, radio),
        "guarantee": _guarantee(manifest),
        "guarded_exits": [number for number, one in enumerate(manifest.exits) if one.guard is not None],
    }


def confusion_matrix(
    labels: NDArray[np.integer[Any]], answered: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """How many samples of class i (row) were answered as class j (column): (K, K), from labels and answers (N,)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, answered), 1)
    return counts


def _samples(own: OwnData) -> list[dict[str, Any]]:
    """How many of each class lie in which split."""
    number = len(own.dataset.classes)
    counts = {name: np.bincount(own.dataset.split(name).y, minlength=number) for name in SPLITS}
    return [
        {"class": each, **{name: int(counts[name][index]) for name in SPLITS}}
        for index, each in enumerate(own.dataset.classes)
    ]


def _classes(counts: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision and recall of each class with their 95 % intervals; null where there is nothing to count."""
    found = []
    for index, name in enumerate(names):
        right, given, answered = int(counts[index, index]), int(counts[index].sum()), int(counts[:, index].sum())
        found.append(
            {"class": name, "samples": given, "answered": answered}
            | _share("precision", right, answered)
            | _share("recall", right, given)
        )
    return found


def _share(name: str, right: int, of: int) -> dict[str, Any]:
    share = right / of if of else None
    return {name: share, f"{name}_interval": None if share is None else wilson_interval(share, of)}


def _confusions(counts: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs that are confused most often, with how many of the class's samples that is."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [
        {"class": names[i], "answered": names[j], "samples": int(wrong[i, j]), "of": int(counts[i].sum())}
        for i, j in pairs
        if wrong[i, j]
    ]


def _mistake(one: Mistake, names: Sequence[str]) -> dict[str, Any]:
    return {
        "source": one.source,
        "split": one.split,
        "class": names[one.given],
        "answered": names[one.answered],
        "confidence": one.confidence,
        "exit": one.exit_index if one.exit_index >= 0 else None,
        "in_domain": one.in_domain,
    }


def _views(manifest: Manifest, radio: energy.Radio) -> list[energy.View]:
    return [energy.MAC, energy.full_view(radio)] if energy.has_traffic(manifest.layers) else [energy.MAC]


def _energy(
    manifest: Manifest, exit_share: Sequence[float], sample_bytes: float, radio: energy.Radio
) -> dict[str, list[dict[str, Any]]]:
    """By view: joules of a sample on each path, in the mean, and of the twin at the sensor and in the cloud."""
    layers, sent = manifest.layers, manifest.cut.bytes
    found: dict[str, list[dict[str, Any]]] = {}
    for view in _views(manifest, radio):
        rows = [(f"left at exit {e}", energy.path_energy_j(layers, e, view)) for e in range(len(manifest.exits))]
        rows.append(("rose to the cloud", energy.path_energy_j(layers, "cloud", view, sent)))
        mean_j = energy.mean_energy_j(layers, exit_share, view, sent)
        rows.append(("mean of a sample", mean_j))
        rows.append(("full-precision twin at the sensor", energy.twin_energy_j(layers, view)))
        if view.radio is not None:
            rows.append(("full-precision twin in the cloud", energy.twin_energy_j(layers, view, sample_bytes)))
        found[view.name] = [{"path": name, "energy_j": joules, "times_mean": joules / mean_j} for name, joules in rows]
    return found


def _load(
    manifest: Manifest, exit_share: Sequence[float], sample_bytes: float, radio: energy.Radio
) -> list[dict[str, float]]:
    """What so many samples a second ask of the link and of both halves, in the widest view that is known."""
    view = _views(manifest, radio)[-1]
    parts_w = _mean_parts_j(manifest, exit_share, view)
    hard_share = max(0.0, 1.0 - sum(exit_share))
    return [
        {
            "samples_per_s": float(rate),
            "hard_samples_per_s": rate * hard_share,
            "feature_bytes_per_s": rate * hard_share * manifest.cut.bytes,
            "whole_sample_bytes_per_s": rate * sample_bytes,
            **{f"{part}_j_per_s": rate * joules for part, joules in parts_w.items()},
        }
        for rate in RATES_HZ
    ]


def _mean_parts_j(manifest: Manifest, exit_share: Sequence[float], view: energy.View) -> Mapping[str, float]:
    """Mean joules of a sample at the edge, on the air and in the cloud."""
    ends: list[tuple[float, Any]] = [(share, number) for number, share in enumerate(exit_share)]
    ends.append((max(0.0, 1.0 - sum(exit_share)), "cloud"))
    found = {"edge": 0.0, "radio": 0.0, "cloud": 0.0}
    for share, end in ends:
        parts = energy.path_parts_j(manifest.layers, end, view, manifest.cut.bytes)
        for part, joules in parts.items():
            found[part if part in found else "edge"] += share * joules
    return found


def _guarantee(manifest: Manifest) -> dict[str, Any] | None:
    """The tested bound on errors at exits; null for a bundle that is not calibrated."""
    calibration = manifest.calibration
    if calibration is None:
        return None
    return {
        "holds": calibration.guaranteed,
        "alpha": calibration.alpha,
        "delta": calibration.delta,
        "samples": calibration.calibration.samples,
        "independent": calibration.calibration.independent,
        "note": calibration.calibration.note,
        "chosen_by": dict(calibration.chosen_by),
    }
