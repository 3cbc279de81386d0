"""The temperature of an exit, from a tuning split."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import exits


def fit_temperature(logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> float:
    """The T in 0.5 .. 8 that minimizes the negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2.
    logits (N, K), labels (N,).
    """
    grid = np.geomspace(0.5, 8.0, 101)
    rows = np.arange(len(labels))
    losses = [-np.log(np.maximum(exits.softmax(logits, float(t))[rows, labels], 1e-12)).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])
