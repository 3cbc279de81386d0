"""`EdgeEngine`: a bundle's edge half, ready to run on batches of samples."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import cut as cut_codec
from hybrid_model.bundle import Bundle
from hybrid_model.runtime.native_walker import NativeWalker, native_kernels
from hybrid_model.runtime.plan import Plan, build_plan
from hybrid_model.runtime.protocol import EdgeResult, ExitReadings, joined
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker, Walk, Walker

#: Kernels by name, the best first: those of the C extension that this machine can run, and the NumPy reference.
KERNELS: dict[str, Callable[[Plan], Walker]] = {
    **{name: partial(NativeWalker, name=name) for name in native_kernels()},
    "numpy": ReferenceWalker,
}
#: Bytes of activations at a time, and samples at a time: large batches are run in parts of this size.
_WORK_BYTES = 64 * 2**20
_MAX_ROWS = 256


class EdgeEngine:
    """Runs the edge half of `bundle`. One instance may be used from several threads at once.

    `threads`: a batch's samples are spread over that many. `kernel`: one of `KERNELS`; by default $DEWPOINT_KERNEL,
    else the best at hand. All kernels decide alike and give the same features, bit for bit.
    Raises ValueError for an unknown kernel or fewer than one thread.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, kernel: str | None = None) -> None:
        if threads < 1:
            raise ValueError(f"an engine needs at least one thread, not {threads}")
        wanted = kernel or os.environ.get("DEWPOINT_KERNEL") or _best_kernel()
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
        self,
        batch: npt.NDArray[Any],
        *,
        thresholds: Sequence[float] | None = None,
        guard: bool = True,
        force_cut: bool = False,
        probabilities: bool = False,
    ) -> EdgeResult:
        """Runs batch (N, H, W, C) of the bundle's input shape and type, and decides stage by stage.

        `thresholds`: one per exit, in place of the bundle's. `guard`: a sample leaves only where the guard of the exit
        takes it in; without, its score alone decides, and `in_domain` is told all the same. `force_cut`: compute every
        exit and the features of every sample; who leaves where, class and confidence stay the same. `probabilities`:
        tell those of every class, at the exit that gave the class. A sample with a
        value that is not finite never leaves. Answers do not depend on what else is in the batch.
        Raises ValueError for another shape or type, or another number of thresholds.
        """
        self._check(batch)
        rules = self._rules(thresholds)
        may_leave = _finite(batch)
        rows = max(1, min(self._rows, -(-len(batch) // self._threads)))
        parts = [slice(start, start + rows) for start in range(0, len(batch), rows)] or [slice(0, 0)]

        def run(part: slice) -> EdgeResult:
            return self._walker.infer(
                batch[part], rules, may_leave[part], to_cut=force_cut, guard=guard, probabilities=probabilities
            )

        if self._threads == 1 or len(parts) == 1:
            return joined([run(part) for part in parts])
        with ThreadPoolExecutor(self._threads, thread_name_prefix="edge-engine") as pool:
            return joined(list(pool.map(run, parts)))

    def exit_logits(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        """The logits of every exit, (N, E, K), and everybody's features, of batch (N, H, W, C).

        Raises ValueError for another shape or type.
        """
        read = self.exit_readings(batch)
        return read.logits, read.features

    def exit_readings(self, batch: npt.NDArray[Any]) -> ExitReadings:
        """What calibration needs of batch (N, H, W, C): what every exit reads, and everybody's features.

        Raises ValueError for another shape or type.
        """
        walks = list(self._walks(batch))
        return ExitReadings(
            logits=np.concatenate([walk.logits for walk in walks]),
            distances=np.concatenate([walk.distances for walk in walks]),
            in_domain=np.concatenate([walk.in_domain for walk in walks]),
            features=[row for walk in walks for row in cut_codec.pack_batch(walk.codes, self._manifest.cut.bits)],
        )

    def guard_sums(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """What guards are fitted on, of batch (N, H, W, C): their channel sums (N, S), and the exits' logits (N, E, K).

        The sums of one exit's guard stand behind those of the other's. Raises ValueError for another shape or type.
        """
        walks = list(self._walks(batch))
        return np.concatenate([walk.sums for walk in walks]), np.concatenate([walk.logits for walk in walks])

    def _walks(self, batch: npt.NDArray[Any]) -> Iterator[Walk]:
        """The batch part by part through every exit to the cut; nobody leaves."""
        self._check(batch)
        rules = [
            replace(rule, threshold=-math.inf if rule.kind == "entropy" else math.inf) for rule in self._rules(None)
        ]
        for start in range(0, max(len(batch), 1), self._rows):
            part = batch[start : start + self._rows]
            yield self._walker.walk(part, rules, _finite(part), to_cut=True)

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
        return [
            ExitRule(e.score, e.temperature, float(t), math.inf if e.guard is None else e.guard.limit)
            for e, t in zip(described, thresholds, strict=True)
        ]


def _finite(batch: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which samples (N,) hold nothing but finite values: the others never leave, and no guard takes them in."""
    if batch.dtype == np.float32:
        return np.asarray(np.isfinite(batch).all(axis=(1, 2, 3)))
    return np.ones(len(batch), dtype=np.bool_)


@functools.cache
def _best_kernel() -> str:
    """The first of `KERNELS`. Says so, once, where that is the NumPy reference."""
    best = next(iter(KERNELS))
    if best == "numpy":
        logging.getLogger(__name__).warning(
            "the C kernels were not built, so the NumPy reference serves, about a hundred times slower: "
            "install a C compiler and then dewpoint again"
        )
    return best
