"""The full-precision twin's figure: what the hybrid's accuracy is compared with."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from hybrid_model.data import Dataset
from hybrid_model.training.loop import TrainingRun, predict


def twin_figures(run: TrainingRun, dataset: Dataset) -> dict[str, Any] | None:
    """The manifest's `twin`: the trained twin's accuracy on the test split, which samples it got right, and the split's
    fingerprint, which keeps the figures from being told beside other data. None without a twin that was trained to its
    end.

    Computed in full precision by torch.
    """
    if run.twin is None or len(run.twin.history) < run.twin.recipe.schedule.epochs:
        return None
    network = run.twin.network
    _, logits = predict(network, dataset.test, device=next(network.parameters()).device)
    right = logits.argmax(axis=1) == dataset.test.y
    return {
        "accuracy": float(right.mean()),
        "fingerprint": dataset.fingerprint("test"),
        "right": base64.b64encode(np.packbits(right).tobytes()).decode(),
    }
