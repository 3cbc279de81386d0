"""The path of thresholds from strict to loose, along which the test walks and the control at run time may step.

Everything here is *ranked*: scores turned so that the smaller is the surer, whichever kind they are. A sample leaves at
the first exit where its rank is below the exit's threshold. What an exit's guard does not take in has the rank infinity
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import exits

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

#: Accuracy, as a share, that all earlier exits together may cost against the best division of one edge share.
EARLY_EXIT_COST = 0.001
_CANDIDATES = 41


@dataclass(frozen=True)
class ScoreRange:
    """Where the scores of `classes` classes lie, as ranks: from `surest` to `least_sure`, the score of equal logits."""

    kind: exits.ScoreKind
    classes: int

    def rank(self, scores: Floats) -> npt.NDArray[np.float64]:
        """Scores as ranks, of the same shape."""
        return np.asarray(scores if self.kind == "entropy" else -scores, dtype=np.float64)

    def score(self, rank: float) -> float:
        """The score of a rank; thresholds are turned back with it."""
        return float(rank if self.kind == "entropy" else -rank)

    @property
    def surest(self) -> float:
        """No rank is below it: as a threshold it lets nobody leave."""
        return 0.0 if self.kind == "entropy" else -1.0

    @property
    def least_sure(self) -> float:
        """The greatest rank, of logits that are all the same."""
        return float(self.rank(exits.score(np.zeros((1, self.classes)), kind=self.kind))[0])


def exit_taken(ranked: Floats, thresholds: Sequence[float]) -> npt.NDArray[np.int64]:
    """The exit at which each sample leaves, (N,), -1 where it rises. ranked (N, E), one ranked threshold per exit."""
    if not len(thresholds):
        return np.full(len(ranked), -1)
    leaves = ranked < np.asarray(thresholds)
    return np.where(leaves.any(axis=1), leaves.argmax(axis=1), -1)


def enabled_exits(thresholds: Sequence[float], scores: ScoreRange) -> list[int]:
    """Exits at which anybody can leave with these ranked thresholds."""
    return [number for number, threshold in enumerate(thresholds) if threshold > scores.surest]


@dataclass(frozen=True, eq=False)
class Judged:
    """N samples of a split: ranks (N, E), who is wrong at each exit (N, E), and who is right in the cloud (N,).

    A rank is infinite where the exit's guard does not take the sample in.
    """

    ranked: npt.NDArray[np.float64]
    wrong: Bools
    cloud_right: Bools

    def accuracy(self, taken: npt.NDArray[np.int64]) -> float:
        """Share of right answers if samples leave at the exits `taken` (N,), -1 for the cloud."""
        at_exit = ~self.wrong[np.arange(len(taken)), np.maximum(taken, 0)]
        return float(np.where(taken >= 0, at_exit, self.cloud_right).mean())


def threshold_path(judged: Judged, shares: Sequence[float], scores: ScoreRange) -> list[list[float]]:
    """One vector of ranked thresholds for every edge share, ascending, on this split; the first lets nobody leave.

    How a share is divided among the exits: from the first one on, each takes as many samples as it can without the
    accuracy of the whole falling by more than EARLY_EXIT_COST below the best division, where the last exit takes the
    rest. An early exit saves energy, a late one is more often right; a common threshold, or one error rate for all
    exits, lets the early ones answer what a later one would have known better.
    Built from the loose end, where no exit may be looser than at the point before, so that along the path none ever
    gets stricter; vectors that are the same are given once.
    """
    exit_count = judged.ranked.shape[1]
    path = [[scores.least_sure] * exit_count]
    for share in sorted(shares, reverse=True):
        wanted = round(share * len(judged.ranked))
        preferred = _divided(judged, wanted, scores)
        within = np.minimum(preferred, path[-1]).tolist()
        path.append(_topped_up(judged.ranked, within, wanted, path[-1], scores))
    path.append([scores.surest] * exit_count)
    ascending = path[:0:-1]
    return [vector for n, vector in enumerate(ascending) if n == 0 or vector != ascending[n - 1]]


def threshold_for_count(ranks: Floats, count: int, scores: ScoreRange) -> float:
    """The ranked threshold at which the `count` surest of ranks (N,) leave.

    It lies halfway between the last that leaves and the first that stays, or the least sure score where none stays but
    what the guard does not take in.
    """
    if count <= 0:
        return scores.surest
    ordered = np.sort(ranks[np.isfinite(ranks)])
    if count > len(ordered):
        return scores.least_sure
    beyond = float(ordered[count]) if count < len(ordered) else scores.least_sure
    return 0.5 * (float(ordered[count - 1]) + beyond)


def _divided(judged: Judged, wanted: int, scores: ScoreRange) -> list[float]:
    """Thresholds of the exits at which `wanted` samples leave in all, divided as `threshold_path` says."""
    chosen = [scores.surest] * judged.ranked.shape[1]
    last = len(chosen) - 1
    unbounded = [scores.least_sure] * len(chosen)
    for number in range(last):
        staying = judged.ranked[exit_taken(judged.ranked[:, :number], chosen[:number]) < 0, number]
        most = wanted - (len(judged.ranked) - len(staying))
        tried: dict[float, float] = {}
        for count in np.unique(np.linspace(0, most, _CANDIDATES).round().astype(int)):
            threshold = threshold_for_count(staying, int(count), scores)
            whole = [*chosen[:number], threshold, *chosen[number + 1 :]]
            whole = _topped_up(judged.ranked, whole, wanted, unbounded, scores)
            tried[threshold] = judged.accuracy(exit_taken(judged.ranked, whole))
        enough = max(tried.values()) - EARLY_EXIT_COST / last - 1e-12
        chosen[number] = max(threshold for threshold, accuracy in tried.items() if accuracy >= enough)
    return _topped_up(judged.ranked, chosen, wanted, unbounded, scores)


def _topped_up(
    ranked: Floats, thresholds: Sequence[float], wanted: int, loosest: Sequence[float], scores: ScoreRange
) -> list[float]:
    """`thresholds`, loosened from the last exit backwards until `wanted` samples leave, none beyond `loosest`."""
    loosened = list(thresholds)
    for number in reversed(range(len(loosened))):
        others = np.delete(ranked, number, axis=1)
        staying = ranked[exit_taken(others, [*loosened[:number], *loosened[number + 1 :]]) < 0, number]
        needed = threshold_for_count(staying, wanted - (len(ranked) - len(staying)), scores)
        loosened[number] = min(max(needed, loosened[number]), loosest[number])
    return loosened
