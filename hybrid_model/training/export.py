"""A trained network written as a bundle: the edge half as a graph of operations, the cloud half as tensors."""

from __future__ import annotations

import datetime as dt
import platform
from pathlib import Path
from typing import Any

import torch

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.data import Dataset
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.edge_graph import edge_graph
from hybrid_model.nn.quantizers import ClippedLevels
from hybrid_model.nn.summary import layer_table
from hybrid_model.training.calibration import WorkingPoint, choose_thresholds
from hybrid_model.training.loop import TrainingRun, predict


def cloud_tensors(network: HybridNetwork) -> dict[str, Any]:
    """What the cloud half needs: its units, the classifier and the cut's scale, as arrays by state-dict name."""
    wanted = ("cloud.", "classifier.", "cut.quant.alpha")
    return {
        name: tensor.detach().cpu().float().contiguous().numpy()
        for name, tensor in network.state_dict().items()
        if name.startswith(wanted) and not name.endswith("num_batches_tracked")
    }


def _working_point(run: TrainingRun, dataset: Dataset) -> WorkingPoint:
    exit_logits, final_logits = predict(run.network, dataset.tuning, device=next(run.network.parameters()).device)
    wish = run.recipe.operating_point
    return choose_thresholds(
        exit_logits,
        final_logits,
        dataset.tuning.y,
        edge_share=wish.edge_share,
        score=wish.score,
        temperatures=None if wish.fit_temperature else [1.0] * exit_logits.shape[1],
    )


def _input(run: TrainingRun, dataset: Dataset) -> dict[str, Any]:
    arch = run.network.architecture
    return {
        "kind": dataset.kind,
        "shape": list(arch.input_shape),
        "dtype": arch.input_dtype,
        "channels": list(dataset.channels) if dataset.channels else None,
        "rate_hz": dataset.rate_hz,
    }


def export_bundle(run: TrainingRun, dataset: Dataset, path: Path) -> str:
    """Writes `path` from a finished run and returns its network id.

    Temperatures and thresholds come from the tuning split. Raises BundleError if the result fails its own check.
    """
    network = run.network.eval().to("cpu")
    arch = network.architecture
    ops, edge = edge_graph(network)
    point = _working_point(run, dataset)
    quant = network.cut.quant
    scale: dict[str, Any] = {"alpha": float(quant.alpha.detach())} if isinstance(quant, ClippedLevels) else {}
    manifest = {
        "schema": 1,
        "name": run.recipe.name,
        "network_id": "",
        "input": _input(run, dataset),
        "classes": list(dataset.classes),
        "architecture": arch.model_dump(mode="json"),
        "edge_graph": ops,
        "exits": [
            {
                "name": f"exit {number}",
                "stage": number,
                "score": point.score,
                "temperature": point.temperatures[number],
                "threshold": point.thresholds[number],
            }
            for number in range(len(arch.exits))
        ],
        "cut": {
            "shape": list(network.cut_shape),
            "bits": arch.cut.bits,
            "bytes": cut_codec.packed_bytes(network.cut_shape, arch.cut.bits),
            "scale": scale,
        },
        "layers": layer_table(network),
        "calibration": {
            "split": "tuning",
            "samples": len(dataset.tuning.y),
            "edge_share": point.edge_share,
            "accuracy": point.accuracy,
            "accuracy_cloud": point.accuracy_cloud,
            "fingerprint": dataset.fingerprint("tuning"),
        },
        "provenance": {
            "recipe": run.recipe.model_dump(mode="json"),
            "epochs": len(run.history),
            "seed": run.recipe.seed,
            "dataset": dataset.name,
            "train_fingerprint": dataset.fingerprint("train"),
            "precision": run.precision,
            "train_seconds": round(run.seconds, 1),
            "machine": platform.machine(),
            "torch": torch.__version__,
            "created": dt.datetime.now(dt.UTC).date().isoformat(),
        },
        "twin": None,
    }
    return bundle_file.save(path, manifest, edge, cloud_tensors(network))
