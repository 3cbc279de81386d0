"""Temperatures and thresholds of the exits, from a tuning split. Labels serve here, never in an exit decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybrid_model import exits

Score = Literal["entropy", "max_probability", "margin"]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class WorkingPoint:
    """Temperatures and thresholds, one per exit, and what they gave on the tuning split."""

    score: Score
    temperatures: list[float]
    thresholds: list[float]
    edge_share: float
    accuracy: float
    accuracy_cloud: float


def fit_temperature(logits: Floats, labels: NDArray[np.integer]) -> float:
    """The T in 0.5 .. 8 that minimizes the negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2.
    logits (N, K), labels (N,).
    """
    grid = np.geomspace(0.5, 8.0, 101)
    rows = np.arange(len(labels))
    losses = [-np.log(np.maximum(exits.softmax(logits, float(t))[rows, labels], 1e-12)).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def confidence_order(scores: Floats, kind: Score) -> Floats:
    """Scores turned so that the surest sample is the smallest number, whichever kind they are."""
    return np.asarray(scores if kind == "entropy" else -scores, dtype=np.float64)


def _halfway(ranked: Floats, order: NDArray[np.intp], count: int) -> float:
    """A threshold that lets the first `count` of `order` leave; minus infinity for none."""
    if count == 0:
        return -np.inf
    here = float(ranked[order[count - 1]])
    beyond = float(ranked[order[count]]) if count < len(order) else here + 1.0
    return 0.5 * (here + beyond)


def leaving_by_error(ranked: Floats, wrong: NDArray[np.bool_], error_rate: float) -> list[int]:
    """How many samples leave at each exit if at most `error_rate` of them may be wrong there.

    Exits are walked in order, each with the samples that the earlier ones left over, surest first.
    ranked (N, E): smaller is surer; wrong (N, E).
    """
    remaining = np.arange(len(ranked))
    counts: list[int] = []
    for number in range(ranked.shape[1]):
        order = remaining[np.argsort(ranked[remaining, number], kind="stable")]
        errors = np.cumsum(wrong[order, number])
        allowed = np.flatnonzero(errors <= error_rate * np.arange(1, len(order) + 1))
        counts.append(int(allowed[-1]) + 1 if len(allowed) else 0)
        remaining = order[counts[-1] :]
    return counts


def thresholds_for_counts(ranked: Floats, counts: list[int]) -> list[float]:
    """Per exit the threshold at which the `counts[e]` surest of the samples still there leave."""
    remaining = np.arange(len(ranked))
    chosen: list[float] = []
    for number, count in enumerate(counts):
        order = remaining[np.argsort(ranked[remaining, number], kind="stable")]
        chosen.append(_halfway(ranked[:, number], order, min(count, len(order))))
        remaining = order[count:]
    return chosen


def choose_thresholds(
    exit_logits: Floats,
    final_logits: Floats,
    labels: NDArray[np.integer],
    *,
    edge_share: float,
    score: Score = "entropy",
    temperatures: list[float] | None = None,
) -> WorkingPoint:
    """The working point with this edge share on this split.

    One allowed error rate is shared by all exits, so that none is laxer than another: the smallest that reaches
    `edge_share`, with every exit's share then cut back in proportion. exit_logits (N, E, K), final_logits (N, K),
    labels (N,). `temperatures` None: fitted here.
    """
    count = exit_logits.shape[1]
    fitted = temperatures or [fit_temperature(exit_logits[:, e], labels) for e in range(count)]
    ranked = np.stack(
        [
            confidence_order(exits.score(exit_logits[:, e], kind=score, temperature=fitted[e]), score)
            for e in range(count)
        ],
        axis=1,
    )
    wrong = exit_logits.argmax(axis=2) != labels[:, None]
    wanted = edge_share * len(labels)
    counts = [0] * count
    for error_rate in np.linspace(0.0, 1.0, 1001):
        counts = leaving_by_error(ranked, wrong, float(error_rate))
        if sum(counts) >= wanted:
            break
    thresholds = thresholds_for_counts(ranked, [round(c * wanted / max(sum(counts), 1)) for c in counts])
    leaves = ranked < np.asarray(thresholds)
    left, first = leaves.any(axis=1), leaves.argmax(axis=1)
    final_right = final_logits.argmax(axis=1) == labels
    right = np.where(left, ~wrong[np.arange(len(labels)), first], final_right)
    sign = 1.0 if score == "entropy" else -1.0
    finite = [float(np.clip(sign * t, -1e6, 1e6)) for t in thresholds]
    return WorkingPoint(score, fitted, finite, float(left.mean()), float(right.mean()), float(final_right.mean()))
