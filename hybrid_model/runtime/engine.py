"""`EdgeEngine`: a bundle's edge half, ready to run on batches of samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import cut as cut_codec
from hybrid_model import exits
from hybrid_model.bundle import Bundle
from hybrid_model.runtime.plan import Plan, build_plan
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker, Walk, Walker

#: Kernels by name, the best first.
KERNELS: dict[str, Callable[[Plan], Walker]] = {"numpy": ReferenceWalker}
#: Bytes of activations at a time, and samples at a time: large batches are run in parts of this size.
_WORK_BYTES = 64 * 2**20
_MAX_ROWS = 256


@dataclass(frozen=True, eq=False)
class EdgeResult:
    """The edge's answers for N samples and E exits.

    exit_index (N,) int8: the exit at which a sample left, -1 = escalated.
    class_index (N,) int32 and confidence (N,) float32: the class and the greatest probability (softmax at that exit's
    temperature) of the exit at which the sample left, of the last exit where it was escalated; confidence is 0 where
    the logits are not finite.
    exit_classes (N, E) int32, -1 where an exit was not computed; exit_scores (N, E) float32, NaN there.
    features: packed bytes at the cut for escalated samples (with `force_cut` for all), else None.
    """

    exit_index: npt.NDArray[np.int8]
    class_index: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    exit_classes: npt.NDArray[np.int32]
    exit_scores: npt.NDArray[np.float32]
    features: list[bytes | None]


class EdgeEngine:
    """Runs the edge half of `bundle`. One instance may be used from several threads at once.

    `threads`: a batch's samples are spread over that many. `kernel`: one of `KERNELS`; by default $DEWPOINT_KERNEL,
    else the best at hand. All kernels give the same bits.
    Raises ValueError for an unknown kernel or fewer than one thread.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, kernel: str | None = None) -> None:
        if threads < 1:
            raise ValueError(f"an engine needs at least one thread, not {threads}")
        wanted = kernel or os.environ.get("DEWPOINT_KERNEL") or next(iter(KERNELS))
        if wanted not in KERNELS:
            raise ValueError(f"kernel {wanted!r} is not available here; choose one of {', '.join(KERNELS)}")
        plan = build_plan(bundle)
        self._manifest = bundle.manifest
        self._walker = KERNELS[wanted](plan)
        self._rows = max(1, min(_MAX_ROWS, _WORK_BYTES // plan.sample_bytes))
        self._threads = threads

    @property
    def kernel(self) -> str:
        """Name of the kernels that run."""
        return self._walker.name

    def infer(
        self, batch: npt.NDArray[Any], *, thresholds: Sequence[float] | None = None, force_cut: bool = False
    ) -> EdgeResult:
        """Runs batch (N, H, W, C) of the bundle's input shape and type, and decides stage by stage.

        `thresholds`: one per exit, in place of the bundle's. `force_cut`: compute every exit and the features of every
        sample; who leaves where, class and confidence stay the same. A sample with a value that is not finite never
        leaves. Answers do not depend on what else is in the batch.
        Raises ValueError for another shape or type, or another number of thresholds.
        """
        self._check(batch)
        rules = self._rules(thresholds)
        may_leave = np.ones(len(batch), dtype=np.bool_)
        if batch.dtype == np.float32:
            may_leave = np.isfinite(batch).all(axis=(1, 2, 3))
        rows = max(1, min(self._rows, -(-len(batch) // self._threads)))
        parts = [slice(start, start + rows) for start in range(0, len(batch), rows)] or [slice(0, 0)]

        def run(part: slice) -> EdgeResult:
            walk = self._walker.walk(batch[part], rules, may_leave[part], to_cut=force_cut)
            return _answers(walk, rules, self._manifest.cut.bits)

        if self._threads == 1 or len(parts) == 1:
            return _joined([run(part) for part in parts])
        with ThreadPoolExecutor(self._threads, thread_name_prefix="edge-engine") as pool:
            return _joined(list(pool.map(run, parts)))

    def _check(self, batch: npt.NDArray[Any]) -> None:
        shape, dtype = tuple(self._manifest.input.shape), self._manifest.input.dtype
        if not isinstance(batch, np.ndarray):
            raise ValueError(f"a batch is a NumPy array, not {type(batch).__name__}")
        if batch.ndim != 4 or batch.shape[1:] != shape:
            raise ValueError(f"a batch has the shape (N, {', '.join(map(str, shape))}), not {batch.shape}")
        if batch.dtype != np.dtype(dtype):
            raise ValueError(f"a batch has the type {dtype}, not {batch.dtype}")

    def _rules(self, thresholds: Sequence[float] | None) -> list[ExitRule]:
        described = self._manifest.exits
        if thresholds is None:
            thresholds = [e.threshold for e in described]
        if len(thresholds) != len(described):
            raise ValueError(f"{len(described)} exits take as many thresholds, not {len(thresholds)}")
        return [ExitRule(e.score, e.temperature, float(t)) for e, t in zip(described, thresholds, strict=True)]


def _answers(walk: Walk, rules: Sequence[ExitRule], cut_bits: int) -> EdgeResult:
    """Classes, confidences and packed features from a walk."""
    count = len(walk.exit_index)
    classes = np.where(walk.computed, walk.logits.argmax(axis=2), -1).astype(np.int32)
    answering = np.where(walk.exit_index >= 0, walk.exit_index, len(rules) - 1)
    confidence = np.zeros(count, dtype=np.float32)
    for number, rule in enumerate(rules):
        here = np.flatnonzero(answering == number)
        if len(here):
            best = exits.softmax(walk.logits[here, number], rule.temperature).max(axis=1)
            confidence[here] = np.nan_to_num(best, nan=0.0)
    features: list[bytes | None] = [None] * count
    at_cut = np.flatnonzero(walk.at_cut)
    for row, packed in zip(at_cut, cut_codec.pack_batch(walk.codes[at_cut], cut_bits), strict=True):
        features[row] = packed
    return EdgeResult(
        exit_index=walk.exit_index,
        class_index=classes[np.arange(count), answering],
        confidence=confidence,
        exit_classes=classes,
        exit_scores=walk.scores.astype(np.float32),
        features=features,
    )


def _joined(parts: list[EdgeResult]) -> EdgeResult:
    if len(parts) == 1:
        return parts[0]
    return EdgeResult(
        exit_index=np.concatenate([p.exit_index for p in parts]),
        class_index=np.concatenate([p.class_index for p in parts]),
        confidence=np.concatenate([p.confidence for p in parts]),
        exit_classes=np.concatenate([p.exit_classes for p in parts]),
        exit_scores=np.concatenate([p.exit_scores for p in parts]),
        features=[f for p in parts for f in p.features],
    )
