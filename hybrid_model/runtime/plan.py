"""The plan: a checked edge graph as stages of steps on numbered buffers, which any set of kernels can run.

A plan is built once per engine and never changes. It holds no activations: only what to compute, on which buffers of
which type and shape, with which parameter arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, TensorType, check_graph
from hybrid_model.bundle.graph import resolve_params
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
class Stage:
    """Steps between two decisions. `exit_buffer` holds the logits that decide at its end; None: the way to the cut.

    `kept`: the buffers that later stages read, and which therefore shrink to the samples that stay.
    """

    steps: tuple[Step, ...]
    exit_buffer: int | None
    kept: tuple[int, ...]


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
                frees=tuple(sorted({b for b in inputs if last_read[b] == index})),
            )
        )
    stages = tuple(
        Stage(steps=tuple(part), exit_buffer=exit_buffers[s], kept=_read_later(steps, exit_buffers, s))
        for s, part in enumerate(steps)
    )
    buffers = tuple(types.values())
    return Plan(
        buffers=buffers,
        stages=stages,
        cut_buffer=cut_buffer,
        sample_bytes=sum(_ITEM_BYTES[t.kind] * t.shape[0] * t.shape[1] * t.shape[2] for t in buffers),
    )


def _read_later(steps: list[list[Step]], exit_buffers: list[int | None], stage: int) -> tuple[int, ...]:
    """Buffers made up to the end of `stage` that later stages read."""
    made = {0} | {step.output for part in steps[: stage + 1] for step in part}
    read = {b for part in steps[stage + 1 :] for step in part for b in step.inputs}
    read |= {b for b in exit_buffers[stage + 1 :] if b is not None}
    return tuple(sorted(made & read))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view in C order: kernels may rely on it, nobody may write."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
