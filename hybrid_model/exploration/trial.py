"""One trial: trains a recipe, writes its bundle, and measures what it gives on the tuning split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle
from hybrid_model.data import Dataset
from hybrid_model.data.splits import stratified
from hybrid_model.exploration.curve import WorkingPoint, curve
from hybrid_model.exploration.latency import Latency, measure_latency
from hybrid_model.exploration.space import ExplorationError, Space
from hybrid_model.export import export_bundle
from hybrid_model.nn import HybridNetwork
from hybrid_model.runtime import EdgeEngine
from hybrid_model.sample_size import mean_lossless_bytes
from hybrid_model.training.loop import train
from hybrid_model.training.prediction import predict
from hybrid_model.training.recipe import Recipe
from hybrid_model.training.run import TrainingRun


@dataclass(frozen=True)
class Trained:
    """What a trial found; `curve` on the tuning split."""

    curve: list[WorkingPoint]
    latency: Latency
    network_id: str
    epochs: int
    train_seconds: float
    precision: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        rest = {name: getattr(self, name) for name in ("network_id", "epochs", "train_seconds", "precision")}
        return {"curve": [p.to_json() for p in self.curve], "latency": self.latency.to_json(), **rest}


def load_data(space: Space, *, progress: bool = True) -> Dataset:
    """The space's data, its training split cut to `train_samples`, and the test split left out: nothing here sees it.

    Raises ExplorationError where there are fewer training samples than wanted; otherwise as `hybrid_model.data.load`.
    """
    dataset = data.load(space.base.dataset, progress=progress)
    train_split = dataset.train
    if space.train_samples is not None:
        if space.train_samples > len(train_split):
            raise ExplorationError(
                f"space {space.name}: train_samples = {space.train_samples:,}, but {dataset.name} has "
                f"{len(train_split):,}; leave it out to use all"
            )
        train_split = train_split.take(stratified(train_split.y, count=space.train_samples))
    nothing = dataset.test.take(np.empty(0, dtype=np.int64))
    return replace(dataset, train=train_split, test=nothing, approx_test=np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Bench:
    """What every trial of a study is trained and measured with.

    `reference`: the base recipe's network, untrained, as how fast it runs does not depend on its weights.
    `sample_bytes`: mean of a tuning sample sent whole.
    """

    dataset: Dataset
    reference: Bundle
    sample_bytes: float


def make_bench(space: Space, folder: Path, *, progress: bool = True) -> Bench:
    """Loads the space's data and writes `folder`/reference.dew. Raises as `load_data` does."""
    dataset = load_data(space, progress=progress)
    network = HybridNetwork(space.base.build()).eval()
    path = folder / "reference.dew"
    export_bundle(TrainingRun(network, space.base, "untrained", 0.0), dataset, path)
    return Bench(dataset, bundle_file.load(path), mean_lossless_bytes(dataset.tuning.x, dataset.kind))


def run_trial(recipe: Recipe, bench: Bench, *, folder: Path, device: str | None, progress: bool) -> Trained:
    """Trains (or resumes) `recipe` with its checkpoint in `folder`, writes `folder`/NAME.dew, and measures it.

    Raises RecipeError, TrainingError and BundleError as training and export do.
    """
    dataset, tuning = bench.dataset, bench.dataset.tuning
    run = train(recipe, dataset, folder=folder, device=device, progress=progress)
    place = next(run.network.parameters()).device
    exit_logits, final_logits = predict(run.network, tuning, device=place)
    path = folder / f"{recipe.name}.dew"
    # A twin's figure would be of the test split, which is left out here.
    network_id = export_bundle(replace(run, twin=None), dataset, path)
    written = bundle_file.load(path)
    latency = measure_latency(written, bench.reference, tuning.x)
    points = curve(
        written.manifest,
        latency,
        dataset_name=dataset.name,
        sample_bytes=bench.sample_bytes,
        exit_logits=exit_logits,
        final_logits=final_logits,
        labels=tuning.y,
        in_domain=EdgeEngine(written).exit_readings(tuning.x).in_domain,
    )
    return Trained(points, latency, network_id, len(run.history), round(run.seconds, 1), run.precision)
