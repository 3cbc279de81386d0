"""The C kernels behind the `Walker` interface: a plan is handed over once, then every batch is one call."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import ops
from hybrid_model.runtime.plan import Plan, Step
from hybrid_model.runtime.protocol import EdgeResult
from hybrid_model.runtime.staged import ExitRule, Walk, class_probabilities

Array = npt.NDArray[Any]

#: Numbers of operations, kinds and scores, as in native/plan.h, native/tensor.h and native/exits.h.
OPERATIONS = (
    "normalize",
    "conv_int8",
    "conv_float",
    "conv_binary",
    "conv_kbit",
    "binarize",
    "quantize",
    "add",
    "relu",
    "rprelu",
    "avg_pool",
    "max_pool",
    "repeat",
    "linear",
    "cut",
)
KINDS = ("uint8", "float32", "bits", "levels", "logits", "codes")
SCORES = ("entropy", "max_probability", "margin")

#: Parameters of each operation by role, in the order in which the kernels take them.
_ROLES: dict[str, tuple[str, ...]] = {
    "normalize": ("zero_point", "scale"),
    "conv_int8": ("weight", "zero_point", "scale", "bias"),
    "conv_float": ("weight", "bias"),
    "conv_binary": ("weight", "threshold", "scale", "bias"),
    "conv_kbit": ("weight", "scale", "bias"),
    "binarize": ("threshold",),
    "rprelu": ("shift_in", "slope", "shift_out"),
    "linear": ("weight", "bias"),
    "cut": ("threshold",),
}


def load_native() -> Any | None:
    """The extension module; None where it was not built (no compiler when the package was installed)."""
    try:
        return importlib.import_module("hybrid_model.runtime._native")
    except ImportError:
        return None


def native_kernels() -> tuple[str, ...]:
    """Names of the C kernels that this machine can run, the best first; none where they were not built."""
    native = load_native()
    return tuple(native.kernels()) if native is not None else ()


class _Made(NamedTuple):
    """The arrays that every run fills, in the order in which the kernels take them."""

    exit_index: npt.NDArray[np.int8]
    class_index: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    in_domain: npt.NDArray[np.bool_]
    exit_classes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]
    at_cut: npt.NDArray[np.bool_]


class NativeWalker:
    """A set of C kernels bound to a plan; see `Walker`. Raises ValueError for a plan that the kernels cannot run.

    Scores and confidences come from the C library's exp and log and may differ from NumPy's in the last place;
    everything else is the same bits as the reference's.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        native = load_native()
        if native is None:
            raise ValueError(f"there are no C kernels here, so no {name}: install a C compiler and dewpoint again")
        self.name = name
        self._native = native.Plan(name, *encode_plan(plan))
        first = plan.stages[0].exit_buffer
        assert first is not None
        self._classes = plan.buffers[first].shape[2]
        self._codes_shape = plan.buffers[plan.cut_buffer].shape
        self._sum_count = plan.sum_count

    def walk(
        self,
        batch: Array,
        rules: Sequence[ExitRule],
        may_leave: npt.NDArray[np.bool_],
        *,
        to_cut: bool,
        guard: bool = True,
    ) -> Walk:
        """See `Walker.walk`."""
        count, exit_count = len(batch), len(rules)
        logits = np.empty((count, exit_count, self._classes), dtype=np.float32)
        codes = np.zeros((count, *self._codes_shape), dtype=np.uint8)
        distances = np.empty((count, exit_count), dtype=np.float32)
        in_domain = np.empty((count, exit_count), dtype=np.bool_)
        sums = np.empty((count, self._sum_count), dtype=np.int32)
        made = self._run(batch, rules, may_leave, to_cut, guard, logits, codes, None, distances, in_domain, sums)
        return Walk(
            exit_index=made.exit_index,
            logits=logits,
            scores=made.scores,
            computed=made.exit_classes >= 0,
            codes=codes,
            at_cut=made.at_cut,
            distances=distances,
            in_domain=in_domain,
            sums=sums,
        )

    def infer(
        self,
        batch: Array,
        rules: Sequence[ExitRule],
        may_leave: npt.NDArray[np.bool_],
        *,
        to_cut: bool,
        guard: bool = True,
        probabilities: bool = False,
    ) -> EdgeResult:
        """See `Walker.infer`."""
        packed = np.empty((len(batch), self._native.feature_bytes), dtype=np.uint8)
        logits = np.empty((len(batch), len(rules), self._classes), dtype=np.float32) if probabilities else None
        made = self._run(batch, rules, may_leave, to_cut, guard, logits, None, packed, None, None, None)
        return EdgeResult(
            exit_index=made.exit_index,
            class_index=made.class_index,
            confidence=made.confidence,
            in_domain=made.in_domain,
            exit_classes=made.exit_classes,
            exit_scores=made.scores.astype(np.float32),
            features=[
                row.tobytes() if there else None for row, there in zip(packed, made.at_cut.tolist(), strict=True)
            ],
            probabilities=None if logits is None else class_probabilities(logits, made.exit_index, rules),
        )

    def _run(
        self,
        batch: Array,
        rules: Sequence[ExitRule],
        may_leave: npt.NDArray[np.bool_],
        to_cut: bool,
        guard: bool,
        *wanted: Array | None,
    ) -> _Made:
        count, exit_count = len(batch), len(rules)
        made = _Made(
            exit_index=np.empty(count, dtype=np.int8),
            class_index=np.empty(count, dtype=np.int32),
            confidence=np.empty(count, dtype=np.float32),
            in_domain=np.empty(count, dtype=np.bool_),
            exit_classes=np.empty((count, exit_count), dtype=np.int32),
            scores=np.empty((count, exit_count)),
            at_cut=np.empty(count, dtype=np.bool_),
        )
        batch, may_leave = np.ascontiguousarray(batch), np.ascontiguousarray(may_leave)
        self._native.run(count, to_cut, guard, batch, encode_rules(rules), may_leave, *made, *wanted)
        return made


def encode_rules(rules: Sequence[ExitRule]) -> npt.NDArray[np.float64]:
    """Score, temperature, threshold and limit of every exit, (E, 4) float64."""
    return np.array([(SCORES.index(r.kind), r.temperature, r.threshold, r.limit) for r in rules], dtype=np.float64)


def encode_plan(plan: Plan) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[Array]]:
    """A plan as one table of whole numbers, the gains of its steps, and its parameter arrays in order."""
    steps = [step for stage in plan.stages for step in stage.steps]
    stages = [number for number, stage in enumerate(plan.stages) for _ in stage.steps]
    exit_buffers = [stage.exit_buffer for stage in plan.stages if stage.exit_buffer is not None]
    table = [len(plan.buffers), len(steps), len(exit_buffers), plan.cut_buffer]
    params: list[Array] = []
    for buffer in plan.buffers:
        table += [KINDS.index(buffer.kind), *buffer.shape, buffer.bits or 0]
    for step, stage in zip(steps, stages, strict=True):
        own = [np.ascontiguousarray(step.params[role]) for role in _ROLES.get(step.op.op, ()) if role in step.params]
        inputs = (*step.inputs, 0)[:2]
        bits = step.op.bits if isinstance(step.op, ops.Quantize | ops.CutOp) else 0
        table += [
            OPERATIONS.index(step.op.op),
            stage,
            *inputs,
            step.output,
            *_window(step),
            bits,
            len(params),
            len(own),
        ]
        params += own
    table += exit_buffers
    for exit_stage in plan.stages[: len(exit_buffers)]:
        guard = exit_stage.guard
        if guard is None:
            table += [-1, 0, 0]
            continue
        table += [guard.source, len(guard.scale), len(params)]
        params += [np.ascontiguousarray(array) for array in (guard.weight, guard.scale, guard.mean)]
    return np.array(table, dtype=np.int64), np.array([_gain(step) for step in steps], dtype=np.float64), params


def _window(step: Step) -> tuple[int, int, int, int, int, int]:
    """Kernel, stride and padding."""
    op = step.op
    if isinstance(op, ops.ConvInt8 | ops.ConvFloat | ops.ConvBinary | ops.ConvKbit):
        kh, kw = step.params["weight"].shape[:2]
        return (kh, kw, *op.stride, *op.padding)
    if isinstance(op, ops.AvgPool | ops.MaxPool):
        return (*op.kernel, *op.stride, 0, 0)
    return (1, 1, 1, 1, 0, 0)


def _gain(step: Step) -> float:
    gain = step.op.gain if isinstance(step.op, ops.Quantize | ops.CutOp) else None
    return float(np.float32(gain)) if gain is not None else 0.0
