"""Why a sample left at an exit or did not: what each exit thought of it, and which parts of the input that hangs on.

The occlusion map is that of Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2
(arXiv 1311.2901), for an exit's score in place of a class's probability: a patch P of the input x is covered by the
input's own mean of each channel, and the map holds

    change(P) = score(x with P covered) - score(x)

for patches centred on the cells of a grid over the whole input. Covers overlap: a patch is three cells wide. What a
map shows is of this one input and of this cover; it is no statement about what the network has learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model import exits as rules
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult, Engine

__all__ = ["ExitView", "Explanation", "Occlusion", "explain"]

CELLS_MAX: Final = 256
SEGMENTS_MAX: Final = 64
_PATCH_CELLS: Final = 3
_ROWS: Final = 32


@dataclass(frozen=True)
class ExitView:
    """What one exit thought of the sample.

    `probabilities` (K,), softmax at the exit's temperature, NaN where the logits are not finite; `confidence` is the
    greatest of them, 0 there. `leaves`: whether the sample may leave here by score and threshold, and where it left by
    the guard too; the first exit of which that is true is where it left.
    """

    exit: int
    class_index: int
    confidence: float
    score_kind: rules.ScoreKind
    score: float
    threshold: float
    leaves: bool
    probabilities: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """How covering parts of the input changes an exit's score.

    `change` (rows, columns) float64, in units of the score, NaN where the covered input has none: its cell (i, j)
    stands for the input's rows i * cell[0] up to (i + 1) * cell[0] and columns j * cell[1] up to (j + 1) * cell[1];
    all channels are covered together. `patch`: height and width of what is covered, about the middle of the cell.
    """

    exit: int
    score_kind: rules.ScoreKind
    cell: tuple[int, int]
    patch: tuple[int, int]
    change: npt.NDArray[np.float64]

    @property
    def surer(self) -> npt.NDArray[np.float64]:
        """`change` with its sign such that above 0 the exit became surer: what lies there held the sample back."""
        return -self.change if self.score_kind == "entropy" else self.change


@dataclass(frozen=True)
class Explanation:
    """`exit_index`: where the sample leaves, -1 where it is escalated; `exits`: all, computed by then or not.

    `in_domain`: whether the guard of the exit at which it leaves, of the last one where it is escalated, takes it for
    one of the kind that the network was trained on. A sample that is not escalates however sure an exit is.
    """

    exit_index: int
    in_domain: bool
    exits: tuple[ExitView, ...]
    occlusion: Occlusion


def explain(
    engine: Engine,
    manifest: Manifest,
    sample: npt.NDArray[Any],
    *,
    thresholds: Sequence[float] | None = None,
    exit_index: int | None = None,
    guard: bool = True,
    cells_max: int = CELLS_MAX,
) -> Explanation:
    """Explain the decision for `sample` (H, W, C) of the bundle's input shape and type.

    Args:
        engine: The edge half; it computes a batch of at most `cells_max` covered inputs, 32 at a time.
        manifest: Of the same bundle.
        sample: The input.
        thresholds: Those in force, one an exit; the bundle's if none.
        exit_index: The exit of the map; if none, that at which the sample leaves, the last one where it is escalated.
        guard: Whether the guards are in force.
        cells_max: Cells of the map at most; of a window (H = 1), which is cut into segments of time, 64 at most.

    Raises:
        ValueError: for another shape or type, another number of thresholds, or an exit that is not there.
    """
    if not 0 <= (exit_index or 0) < len(manifest.exits):
        raise ValueError(f"no exit {exit_index}; {manifest.name} has {len(manifest.exits)}")
    if cells_max < 1:
        raise ValueError(f"a map has at least one cell, not {cells_max}")
    batch = sample[np.newaxis]
    result = engine.infer(batch, thresholds=thresholds, guard=guard, force_cut=True)
    logits = engine.exit_logits(batch)[0][0]
    in_force = [one.threshold for one in manifest.exits] if thresholds is None else thresholds
    views = tuple(
        _view(manifest, number, logits, result, float(threshold)) for number, threshold in enumerate(in_force)
    )
    left_at = int(result.exit_index[0])
    chosen = exit_index if exit_index is not None else left_at if left_at >= 0 else len(views) - 1
    return Explanation(
        exit_index=left_at,
        in_domain=bool(result.in_domain[0]),
        exits=views,
        occlusion=_occlusion(engine, manifest, sample, chosen, cells_max),
    )


def _view(
    manifest: Manifest, number: int, logits: npt.NDArray[np.float32], result: EdgeResult, threshold: float
) -> ExitView:
    described = manifest.exits[number]
    probabilities = rules.softmax(logits[number : number + 1], described.temperature)[0]
    score = result.exit_scores[0, number]
    left_at = int(result.exit_index[0])
    passes = bool(rules.leaves(np.asarray([score]), threshold, described.score)[0])
    return ExitView(
        exit=number,
        class_index=int(result.exit_classes[0, number]),
        confidence=float(np.nan_to_num(probabilities.max(), nan=0.0)),
        score_kind=described.score,
        score=float(score),
        threshold=threshold,
        leaves=number == left_at or (0 <= left_at < number and passes),
        probabilities=probabilities,
    )


def _occlusion(engine: Engine, manifest: Manifest, sample: npt.NDArray[Any], number: int, cells_max: int) -> Occlusion:
    height, width = sample.shape[:2]
    cell = _cell(height, width, cells_max)
    rows, columns = -(-height // cell[0]), -(-width // cell[1])
    covers = [_patch(i, cell[0], height) + _patch(j, cell[1], width) for i in range(rows) for j in range(columns)]
    with np.errstate(invalid="ignore"):
        mean = sample.mean(axis=(0, 1), dtype=np.float64)
    fill = (np.rint(mean) if sample.dtype.kind == "u" else mean).astype(sample.dtype)
    scores = [_scores(engine, manifest, sample[np.newaxis], number)]
    for start in range(0, len(covers), _ROWS):
        part = covers[start : start + _ROWS]
        covered = np.repeat(sample[np.newaxis], len(part), axis=0)
        for row, (top, bottom, left, right) in enumerate(part):
            covered[row, top:bottom, left:right] = fill
        scores.append(_scores(engine, manifest, covered, number))
    found = np.concatenate(scores)
    patch = (min(height, _PATCH_CELLS * cell[0]), min(width, _PATCH_CELLS * cell[1]))
    change = (found[1:] - found[0]).reshape(rows, columns)
    return Occlusion(number, manifest.exits[number].score, cell, patch, change)


def _scores(engine: Engine, manifest: Manifest, batch: npt.NDArray[Any], number: int) -> npt.NDArray[np.float64]:
    described = manifest.exits[number]
    logits = engine.exit_logits(batch)[0][:, number]
    return rules.score(logits, kind=described.score, temperature=described.temperature)


def _cell(height: int, width: int, cells_max: int) -> tuple[int, int]:
    """Height and width of the smallest cells of which no more than `cells_max` cover the input."""
    if height == 1:
        return 1, -(-width // min(cells_max, SEGMENTS_MAX))
    side = max(1, math.isqrt(height * width // cells_max))
    while -(-height // side) * -(-width // side) > cells_max:
        side += 1
    return min(side, height), min(side, width)


def _patch(index: int, cell: int, length: int) -> tuple[int, int]:
    """From where to where the patch about a cell reaches, within the input."""
    margin = cell * (_PATCH_CELLS - 1) // 2
    return max(0, index * cell - margin), min(length, (index + 1) * cell + margin)
