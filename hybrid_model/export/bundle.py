"""A trained network written as a bundle: the edge half as a graph of operations, the cloud half as tensors."""

from __future__ import annotations

import base64
import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model.bundle.file import Tensors
from hybrid_model.bundle.manifest import SplitFiles
from hybrid_model.calibration import calibrate
from hybrid_model.data import Dataset
from hybrid_model.export.cloud_tensors import CloudDtype, cloud_tensors
from hybrid_model.nn.edge_graph import edge_graph
from hybrid_model.nn.quantizers import ClippedLevels
from hybrid_model.nn.summary import layer_table
from hybrid_model.training.prediction import predict
from hybrid_model.training.run import TrainingRun


def _input(run: TrainingRun, dataset: Dataset) -> dict[str, Any]:
    arch = run.hybrid.architecture
    return {
        "kind": dataset.kind,
        "shape": list(arch.input_shape),
        "dtype": arch.input_dtype,
        "channels": list(dataset.channels) if dataset.channels else None,
        "rate_hz": dataset.rate_hz,
    }


def export_bundle(
    run: TrainingRun,
    dataset: Dataset,
    path: Path,
    *,
    cloud_dtype: CloudDtype = "float16",
    split_files: SplitFiles | None = None,
) -> str:
    """Writes `path` from a finished run and returns its network id. `cloud_dtype`: see `cloud_tensors`.

    `split_files`: of somebody's own data, what each split was made of.

    The bundle is calibrated as the recipe's operating point says, by the routine that `dewpoint calibrate` is.
    Raises BundleError if the result fails its own check, CalibrationError if it cannot be calibrated.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        manifest, edge, cloud = _uncalibrated(run, dataset, cloud_dtype)
        manifest["split_files"] = None if split_files is None else split_files.model_dump(mode="json")
        bundle_file.save(draft, manifest, edge, cloud)
        calibrated = calibrate(bundle_file.load(draft, cloud=True), dataset, run.recipe.operating_point)
    return bundle_file.save(path, calibrated.manifest, calibrated.edge, calibrated.cloud)


def _uncalibrated(
    run: TrainingRun, dataset: Dataset, cloud_dtype: CloudDtype
) -> tuple[dict[str, Any], Tensors, Tensors]:
    """Manifest, edge tensors and cloud tensors of a network whose exits let nobody leave yet."""
    network = run.hybrid.eval().to("cpu")
    arch = network.architecture
    ops, edge = edge_graph(network)
    score = run.recipe.operating_point.score
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
                "score": score,
                "threshold": 0.0 if score == "entropy" else 1.0,
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
        "provenance": {
            "recipe": run.recipe.model_dump(mode="json"),
            "epochs": len(run.history),
            "seed": run.recipe.seed,
            "dataset": dataset.name,
            "train_fingerprint": dataset.fingerprint("train"),
            "precision": run.precision,
            "train_seconds": round(run.seconds, 1),
            "machine": run.machine,
            "torch": torch.__version__,
            "created": dt.datetime.now(dt.UTC).date().isoformat(),
        },
        "twin": twin_figures(run.twin, dataset),
        "taught_twin": twin_figures(run.taught_twin, dataset),
    }
    return manifest, edge, cloud_tensors(network, cloud_dtype)


def twin_figures(twin: TrainingRun | None, dataset: Dataset) -> dict[str, Any] | None:
    """The manifest's `twin` or `taught_twin`: the twin's accuracy on the test split, which samples it got right, and
    the split's fingerprint, which keeps the figures from being told beside other data. None without a twin that was
    trained to its end.

    Computed in full precision by torch.
    """
    if twin is None or not twin.finished:
        return None
    network = twin.network
    _, logits = predict(network, dataset.test, device=next(network.parameters()).device)
    right = logits.argmax(axis=1) == dataset.test.y
    return {
        "accuracy": float(right.mean()),
        "fingerprint": dataset.fingerprint("test"),
        "right": base64.b64encode(np.packbits(right).tobytes()).decode(),
    }
