"""The plan: a checked edge graph as stages of steps on numbered buffers, which any set of kernels can run.

A plan is built once per engine and never changes. It holds no activations: only what to compute, on which buffers of
which type and shape, with which parameter arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, TensorType, check_graph
from hybrid_model.bundle.graph import resolve_params
from hybrid_model.bundle.guard import guard_arrays
from hybrid_model.bundle.ops import CutOp, ExitOp, Op

#: Bytes of one element of each kind, where it is kept unpacked.
_ITEM_BYTES = {"uint8": 1, "float32": 4, "bits": 1, "levels": 1, "logits": 4, "codes": 1}


@dataclass(frozen=True, eq=False)
class Step:
    """One operation: `op` with its attributes, buffers by number, parameter arrays by role (read-only, C order)."""

    op: Op
    inputs: tuple[int, ...]
    output: int
    params: dict[str, npt.NDArray[Any]]
    frees: tuple[int, ...]
    """Buffers that nothing reads behind this step."""


@dataclass(frozen=True, eq=False)
class PlannedGuard:
    """An exit's guard: the buffer whose channel sums it takes, and its arrays (read-only, C order).

    weight int8 (C, R), scale float32 (R), mean float32 (K, R).
    """

    source: int
    weight: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stage:
    """Steps between two decisions. `exit_buffer` holds the logits that decide at its end; None: the way to the cut.

    `kept`: the buffers that later stages read, and which therefore shrink to the samples that stay. `guard`: of the
    exit at its end; None where there is none.
    """

    steps: tuple[Step, ...]
    exit_buffer: int | None
    kept: tuple[int, ...]
    guard: PlannedGuard | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """What an engine runs. Buffer 0 is the input; `buffers[i]` is the type of one sample of buffer i.

    `stages` has one entry per exit and a last one that ends with `cut_buffer`, the codes. `sample_bytes` bounds the
    activations of one sample, all buffers together.
    """

    buffers: tuple[TensorType, ...]
    stages: tuple[Stage, ...]
    cut_buffer: int
    sample_bytes: int

    @property
    def sum_count(self) -> int:
        """Channel sums of one sample that all guards take together."""
        return self.sums_of(len(self.stages) - 1)[1]

    def sums_of(self, exit_number: int) -> tuple[int, int]:
        """From where to where the channel sums of an exit's guard lie among them all."""
        channels = [0 if s.guard is None else self.buffers[s.guard.source].shape[2] for s in self.stages]
        first = sum(channels[:exit_number])
        return first, first + channels[exit_number]


def build_plan(bundle: Bundle) -> Plan:
    """The plan of a bundle's edge graph. Raises GraphError as `check_graph` does (a loaded bundle has passed it)."""
    graph = bundle.manifest.edge_graph
    types = check_graph(bundle.manifest, bundle.edge)
    number_of = {name: number for number, name in enumerate(types)}
    # An exit hands its logits on: its result is its input's buffer.
    for op in graph:
        if isinstance(op, ExitOp):
            number_of[op.out] = number_of[op.inputs[0]]
    last_read = {number_of[name]: index for index, op in enumerate(graph) for name in op.inputs}
    exits = len(bundle.manifest.exits)
    guards = [_planned_guard(bundle, exit_number, types, number_of) for exit_number in range(exits)]
    guarded = {guard.source for guard in guards if guard is not None}
    steps: list[list[Step]] = [[] for _ in range(exits + 1)]
    exit_buffers: list[int | None] = [None] * (exits + 1)
    cut_buffer = -1
    for index, op in enumerate(graph):
        inputs = tuple(number_of[name] for name in op.inputs)
        if isinstance(op, ExitOp):
            exit_buffers[op.exit] = inputs[0]
            continue
        if isinstance(op, CutOp):
            cut_buffer = number_of[op.out]
        params = resolve_params(op, types[op.inputs[0]], bundle.edge)
        output = number_of[op.out]
        steps[op.stage].append(
            Step(
                op=op,
                inputs=inputs,
                output=output,
                params={role: _frozen(array) for role, array in params.items()},
                frees=tuple(sorted({b for b in inputs if last_read[b] == index} - guarded)),
            )
        )
    stages = tuple(
        Stage(
            steps=tuple(part),
            exit_buffer=exit_buffers[s],
            kept=_read_later(steps, exit_buffers, guards, s),
            guard=guards[s] if s < exits else None,
        )
        for s, part in enumerate(steps)
    )
    buffers = tuple(types.values())
    return Plan(
        buffers=buffers,
        stages=stages,
        cut_buffer=cut_buffer,
        sample_bytes=sum(_ITEM_BYTES[t.kind] * t.shape[0] * t.shape[1] * t.shape[2] for t in buffers),
    )


def _planned_guard(
    bundle: Bundle, number: int, types: Mapping[str, TensorType], number_of: Mapping[str, int]
) -> PlannedGuard | None:
    """The guard of exit `number`."""
    guard = bundle.manifest.exits[number].guard
    if guard is None:
        return None
    arrays = guard_arrays(guard, types[guard.source], len(bundle.manifest.classes), bundle.edge)
    return PlannedGuard(
        source=number_of[guard.source],
        weight=_frozen(arrays["weight"]),
        scale=_frozen(arrays["scale"]),
        mean=_frozen(arrays["mean"]),
    )


def _read_later(
    steps: list[list[Step]], exit_buffers: list[int | None], guards: list[PlannedGuard | None], stage: int
) -> tuple[int, ...]:
    """Buffers made up to the end of `stage` that later stages read."""
    made = {0} | {step.output for part in steps[: stage + 1] for step in part}
    read = {b for part in steps[stage + 1 :] for step in part for b in step.inputs}
    read |= {b for b in exit_buffers[stage + 1 :] if b is not None}
    read |= {guard.source for guard in guards[stage + 1 :] if guard is not None}
    return tuple(sorted(made & read))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view in C order: kernels may rely on it, nobody may write."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
