"""Confidence scores and the exit rule: may a sample leave at this exit?

All scores come from the logits alone, computed in float64. A row with a logit that is not finite has the score NaN, and
NaN never leaves.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
ScoreKind = Literal["entropy", "max_probability", "margin"]


def softmax(logits: npt.NDArray[np.floating[Any]], temperature: float = 1.0) -> Float64Array:
    """Logits (N, K) / T as probabilities (N, K) float64; rows that are not finite become NaN.

    Raises ValueError for another number of dimensions, or a temperature that is not finite and positive.
    """
    z = _scaled(logits, temperature)
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    return p


def score(
    logits: npt.NDArray[np.floating[Any]], *, kind: ScoreKind = "entropy", temperature: float = 1.0
) -> Float64Array:
    """How sure an exit is of each row of logits (N, K): (N,) float64.

    `entropy`: -sum p ln p in nats, 0 (sure) to ln K (Teerapittayanon et al. 2016, BranchyNet, arXiv 1709.01686);
    `max_probability`: the greatest p; `margin`: the greatest p less the second.
    Raises ValueError as `softmax` does, and for an unknown kind.
    """
    if kind == "entropy":
        z = _scaled(logits, temperature)
        p = np.exp(z)
        total = p.sum(axis=1)
        entropy: Float64Array = np.log(total) - (p * z).sum(axis=1) / total
        return np.maximum(entropy, 0.0)
    p = softmax(logits, temperature)
    if kind == "max_probability":
        best: Float64Array = p.max(axis=1)
        return best
    if kind == "margin":
        if p.shape[1] < 2:
            return p[:, 0]
        top = np.partition(p, p.shape[1] - 2, axis=1)
        margin: Float64Array = top[:, -1] - top[:, -2]
        return margin
    raise ValueError(f"unknown score {kind!r}: entropy, max_probability or margin")


def leaves(
    score: npt.NDArray[np.floating[Any]], threshold: float | Float64Array, kind: ScoreKind = "entropy"
) -> npt.NDArray[np.bool_]:
    """Which samples leave, (N,) bool: entropy below the threshold; max_probability and margin above it. NaN stays.

    With an array of thresholds scores and thresholds are broadcast.
    """
    if kind == "entropy":
        return np.asarray(score < threshold)
    if kind in ("max_probability", "margin"):
        return np.asarray(score > threshold)
    raise ValueError(f"unknown score {kind!r}: entropy, max_probability or margin")


def _scaled(logits: npt.NDArray[np.floating[Any]], temperature: float) -> Float64Array:
    """Logits / T less their row's greatest, so that exp cannot overflow; rows with a logit that is not finite: NaN."""
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits have the shape (N, K), not {logits.shape}")
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature is finite and positive, not {temperature}")
    z = logits.astype(np.float64)
    z[~np.isfinite(z).all(axis=1)] = np.nan
    z -= z.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        z /= temperature
    # -inf would make 0 * -inf of a term of the entropy whose limit is 0; exp(-800) is 0 as well.
    return np.maximum(z, -800.0)
