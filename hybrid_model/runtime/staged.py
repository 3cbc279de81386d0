"""The NumPy kernels walked over a plan, stage by stage: what has left at an exit is not computed further."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hybrid_model import cut as cut_codec
from hybrid_model import exits
from hybrid_model.bundle import ops
from hybrid_model.bundle.tensor_type import TensorType
from hybrid_model.runtime import reference
from hybrid_model.runtime.blas import use_one_thread
from hybrid_model.runtime.packing import unpack_words
from hybrid_model.runtime.plan import Plan, Step
from hybrid_model.runtime.protocol import EdgeResult

Array = npt.NDArray[Any]
Kernel = Callable[..., Array]


@dataclass(frozen=True)
class ExitRule:
    """How one exit decides (see `hybrid_model.exits`), and up to which squared distance its guard takes a sample in."""

    kind: exits.ScoreKind
    temperature: float
    threshold: float
    limit: float = math.inf


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk gives for N samples, E exits, K classes.

    exit_index (N,) int8, -1 where none let the sample go; logits (N, E, K) float32 and scores (N, E) float64, NaN where
    an exit was not computed; computed (N, E) bool; codes (N, h, w, c) uint8, meaningful where at_cut (N,) bool.
    distances (N, E) float32: the guards' squared distances, 0 at an exit without one, NaN where an exit was not
    computed or a guarded one's logits are not finite; in_domain (N, E) bool, False where an exit was not computed.
    sums (N, S) int32: the channel sums that the guards take, one exit's behind the other's, 0 where an exit was not
    computed.
    """

    exit_index: npt.NDArray[np.int8]
    logits: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    computed: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.uint8]
    at_cut: npt.NDArray[np.bool_]
    distances: npt.NDArray[np.float32]
    in_domain: npt.NDArray[np.bool_]
    sums: npt.NDArray[np.int32]


class Walker(Protocol):
    """A set of kernels bound to a plan. Safe to call from several threads at once."""

    name: str

    def walk(
        self,
        batch: Array,
        rules: Sequence[ExitRule],
        may_leave: npt.NDArray[np.bool_],
        *,
        to_cut: bool,
        guard: bool = True,
    ) -> Walk:
        """Runs batch (N, H, W, C). `may_leave` (N,): the others stay, and no guard takes them in.

        `to_cut`: all are computed up to the cut. `guard`: what is not in the domain at an exit does not leave there.
        """

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
        """The same run, as the edge's answers."""


class ReferenceWalker:
    """The NumPy reference. Keeps no state between calls. NumPy's own threads are switched off (see `blas`)."""

    name = "numpy"

    def __init__(self, plan: Plan) -> None:
        use_one_thread()
        self._plan = plan
        self._kernels = [[bind(step, plan.buffers[step.inputs[0]]) for step in stage.steps] for stage in plan.stages]

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
        plan, count = self._plan, len(batch)
        result = _empty_walk(plan, count, len(rules))
        if count == 0:
            return result
        rows = np.arange(count)
        buffers: dict[int, Array] = {0: batch}
        for number, stage in enumerate(plan.stages):
            with np.errstate(all="ignore"):
                for step, kernel in zip(stage.steps, self._kernels[number], strict=True):
                    buffers[step.output] = kernel(*(buffers[b] for b in step.inputs))
                    for spent in step.frees:
                        buffers.pop(spent, None)
            if stage.exit_buffer is None:
                result.codes[rows] = buffers[plan.cut_buffer]
                result.at_cut[rows] = True
                break
            logits = buffers[stage.exit_buffer].reshape(len(rows), -1)
            self._measure(result, number, rows, logits, buffers)
            stays = _decide(
                result, number, rows, logits, rules[number], may_leave, guarded=stage.guard is not None, obeyed=guard
            )
            buffers = {b: buffers[b] for b in stage.kept}
            if not to_cut and not stays.all():
                buffers = {b: array[stays] for b, array in buffers.items()}
                rows = rows[stays]
            if len(rows) == 0:
                break
        return result

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
        walk = self.walk(batch, rules, may_leave, to_cut=to_cut, guard=guard)
        bits = self._plan.buffers[self._plan.cut_buffer].bits
        assert bits is not None
        return answers(walk, rules, bits, probabilities=probabilities)

    def _measure(
        self,
        walk: Walk,
        number: int,
        rows: npt.NDArray[np.intp],
        logits: npt.NDArray[np.float32],
        buffers: dict[int, Array],
    ) -> None:
        """Notes the channel sums and the distances of the exit's guard."""
        guard = self._plan.stages[number].guard
        if guard is None:
            walk.distances[rows, number] = 0.0
        else:
            sums = reference.channel_sums(buffers[guard.source])
            first, end = self._plan.sums_of(number)
            walk.sums[rows, first:end] = sums
            with np.errstate(all="ignore"):
                walk.distances[rows, number] = reference.guard_distance(
                    sums, logits.argmax(axis=1), guard.weight, guard.scale, guard.mean
                )
            walk.distances[rows[~np.isfinite(logits).all(axis=1)], number] = np.nan


def answers(walk: Walk, rules: Sequence[ExitRule], cut_bits: int, *, probabilities: bool = False) -> EdgeResult:
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
        in_domain=walk.in_domain[np.arange(count), answering],
        exit_classes=classes,
        exit_scores=walk.scores.astype(np.float32),
        features=features,
        probabilities=class_probabilities(walk.logits, walk.exit_index, rules) if probabilities else None,
    )


def class_probabilities(
    logits: npt.NDArray[np.float32], exit_index: npt.NDArray[np.int8], rules: Sequence[ExitRule]
) -> npt.NDArray[np.float32]:
    """Of logits (N, E, K), the probabilities (N, K) float32 at the exit where a sample left, or at the last."""
    answering = np.where(exit_index >= 0, exit_index, len(rules) - 1)
    found = np.empty((len(logits), logits.shape[2]), dtype=np.float32)
    for number, rule in enumerate(rules):
        here = np.flatnonzero(answering == number)
        if len(here):
            found[here] = exits.softmax(logits[here, number], rule.temperature)
    return found


def bind(step: Step, source: TensorType) -> Kernel:
    """A step's kernel with its parameters: takes the input arrays, returns the output array."""
    op, p = step.op, step.params
    if isinstance(op, ops.ConvBinary):
        signs = _signs(p["weight"], op.in_channels)
        if op.epilogue == "bits":
            return lambda x: reference.conv_binary_bits(x, signs, p["threshold"], op.stride, op.padding)
        return lambda x: reference.conv_binary_float(x, signs, p["scale"], p["bias"], op.stride, op.padding)
    if isinstance(op, ops.ConvInt8):
        whole, zero = p["weight"].astype(np.float32), p["zero_point"]
        return lambda x: reference.conv_int8(x, whole, zero, p["scale"], p["bias"], op.stride, op.padding)
    if isinstance(op, ops.ConvKbit):
        whole = p["weight"].astype(np.float32)
        return lambda x: reference.conv_kbit(x, whole, p["scale"], p["bias"], op.stride, op.padding)
    if isinstance(op, ops.ConvFloat):
        return lambda x: reference.conv_float(x, p["weight"], p["bias"], op.stride, op.padding)
    if isinstance(op, ops.AvgPool):
        return lambda x: reference.avg_pool(x, op.kernel, op.stride)
    if isinstance(op, ops.MaxPool):
        return lambda x: reference.max_pool(x, op.kernel, op.stride)
    if isinstance(op, ops.Repeat):
        return lambda x: reference.repeat(x, op.times)
    if isinstance(op, ops.Quantize):
        return lambda x: reference.quantize(x, np.float32(op.gain), op.bits)
    if isinstance(op, ops.CutOp):
        if op.gain is None:
            return lambda x: reference.cut_bits(x, p["threshold"])
        gain = np.float32(op.gain)
        return lambda x: reference.quantize(x, gain, op.bits)
    plain: dict[str, Kernel] = {
        "normalize": lambda x: reference.normalize(x, p["zero_point"], p["scale"]),
        "binarize": lambda x: reference.binarize(x, p["threshold"]),
        "add": reference.add,
        "relu": reference.relu,
        "rprelu": lambda x: reference.rprelu(x, p["shift_in"], p["slope"], p["shift_out"]),
        "linear": lambda x: reference.linear(x, p["weight"], p["bias"]),
    }
    return plain[op.op]


def _signs(words: npt.NDArray[np.uint32], channels: int) -> npt.NDArray[np.float32]:
    """Packed (KH, KW, OC, words) -> +1 and -1 (KH, KW, IC, OC) float32."""
    signs = np.where(unpack_words(words, channels), np.float32(1.0), np.float32(-1.0))
    return np.ascontiguousarray(signs.transpose(0, 1, 3, 2))


def _empty_walk(plan: Plan, count: int, exit_count: int) -> Walk:
    first = plan.stages[0].exit_buffer
    assert first is not None
    classes = plan.buffers[first].shape[2]
    return Walk(
        exit_index=np.full(count, -1, dtype=np.int8),
        logits=np.full((count, exit_count, classes), np.nan, dtype=np.float32),
        scores=np.full((count, exit_count), np.nan),
        computed=np.zeros((count, exit_count), dtype=np.bool_),
        codes=np.zeros((count, *plan.buffers[plan.cut_buffer].shape), dtype=np.uint8),
        at_cut=np.zeros(count, dtype=np.bool_),
        distances=np.full((count, exit_count), np.nan, dtype=np.float32),
        in_domain=np.zeros((count, exit_count), dtype=np.bool_),
        sums=np.zeros((count, plan.sum_count), dtype=np.int32),
    )


def _decide(
    walk: Walk,
    number: int,
    rows: npt.NDArray[np.intp],
    logits: npt.NDArray[np.float32],
    rule: ExitRule,
    may_leave: npt.NDArray[np.bool_],
    *,
    guarded: bool,
    obeyed: bool,
) -> npt.NDArray[np.bool_]:
    """Notes an exit's logits and scores, who is in its domain and who leaves here; returns who among `rows` stays.

    `guarded`: the exit has a guard; `obeyed`: what it does not take in stays.
    """
    scores = exits.score(logits, kind=rule.kind, temperature=rule.temperature)
    walk.logits[rows, number] = logits
    walk.scores[rows, number] = scores
    walk.computed[rows, number] = True
    in_domain = np.ones(len(rows), dtype=np.bool_)
    if guarded:
        in_domain = (walk.distances[rows, number].astype(np.float64) <= rule.limit) & may_leave[rows]
    walk.in_domain[rows, number] = in_domain
    leaving = exits.leaves(scores, rule.threshold, rule.kind) & may_leave[rows] & (walk.exit_index[rows] < 0)
    if obeyed:
        leaving &= in_domain
    walk.exit_index[rows[leaving]] = number
    return ~leaving
