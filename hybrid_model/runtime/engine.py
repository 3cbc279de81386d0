"""`EdgeEngine`: a bundle's edge half, ready to run on batches of samples."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import cut as cut_codec
from hybrid_model.bundle import Bundle
from hybrid_model.runtime.native_walker import NativeWalker, native_kernels
from hybrid_model.runtime.plan import Plan, build_plan
from hybrid_model.runtime.protocol import EdgeResult, joined
from hybrid_model.runtime.staged import ExitRule, ReferenceWalker, Walker

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
    ) -> EdgeResult:
        """Runs batch (N, H, W, C) of the bundle's input shape and type, and decides stage by stage.

        `thresholds`: one per exit, in place of the bundle's. `force_cut`: compute every exit and the features of every
        sample; who leaves where, class and confidence stay the same. A sample with a value that is not finite never
        leaves. Answers do not depend on what else is in the batch.
        Raises ValueError for another shape or type, or another number of thresholds.
        """
        del guard
        self._check(batch)
        rules = self._rules(thresholds)
        may_leave = np.ones(len(batch), dtype=np.bool_)
        if batch.dtype == np.float32:
            may_leave = np.isfinite(batch).all(axis=(1, 2, 3))
        rows = max(1, min(self._rows, -(-len(batch) // self._threads)))
        parts = [slice(start, start + rows) for start in range(0, len(batch), rows)] or [slice(0, 0)]

        def run(part: slice) -> EdgeResult:
            return self._walker.infer(batch[part], rules, may_leave[part], to_cut=force_cut)

        if self._threads == 1 or len(parts) == 1:
            return joined([run(part) for part in parts])
        with ThreadPoolExecutor(self._threads, thread_name_prefix="edge-engine") as pool:
            return joined(list(pool.map(run, parts)))

    def exit_logits(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[bytes]]:
        """What calibration needs of batch (N, H, W, C): the logits of every exit, (N, E, K), and everybody's features.

        Raises ValueError for another shape or type.
        """
        self._check(batch)
        rules = self._rules(None)
        logits, features = [], []
        for start in range(0, max(len(batch), 1), self._rows):
            part = batch[start : start + self._rows]
            walk = self._walker.walk(part, rules, np.zeros(len(part), dtype=np.bool_), to_cut=True)
            logits.append(walk.logits)
            features += cut_codec.pack_batch(walk.codes, self._manifest.cut.bits)
        return np.concatenate(logits), features

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
