"""The same work without binarization: a bundle's edge graph as plain convolutions, for other runtimes to run.

Every convolution keeps its shape; what quantizes or activates becomes a ReLU on what stands before it, which runtimes
fuse. Weights are random: they do not change the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, ops
from hybrid_model.bundle.graph import check_graph

Pair = tuple[int, int]
#: What is an activation in the twin, or nothing.
_ELEMENTWISE = (ops.Normalize, ops.Binarize, ops.Quantize, ops.Relu, ops.RPRelu, ops.ExitOp, ops.CutOp)


@dataclass
class Node:
    """One operation on named tensors. `weight` (KH, KW, IC, OC) and `bias` (OC) float32 of a convolution.

    `times`: how often a repeat lays its input's channels behind each other.
    """

    kind: Literal["conv", "add", "repeat", "avg_pool", "max_pool"]
    inputs: tuple[str, ...]
    out: str
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    relu: bool = False
    weight: npt.NDArray[np.float32] | None = None
    bias: npt.NDArray[np.float32] | None = None
    times: int = 1


@dataclass
class Twin:
    """Nodes in execution order; `shapes` (H, W, C) of every tensor; `outputs`: logits of the exits, and the cut."""

    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def twin_of(bundle: Bundle, *, with_cut: bool) -> Twin:
    """The twin of `bundle`'s edge half, up to its last exit or (`with_cut`) to the cut as well."""
    types = check_graph(bundle.manifest, bundle.edge)
    twin = Twin(shapes={"input": bundle.manifest.input.shape})
    rng = np.random.default_rng(0)
    name_of = {"input": "input"}
    last_stage = len(bundle.manifest.exits)
    for op in bundle.manifest.edge_graph:
        if op.stage == last_stage and not with_cut:
            break
        inputs = tuple(name_of[name] for name in op.inputs)
        node = _node(op, inputs, bundle, types[op.inputs[0]].shape, types[op.out].shape, rng)
        if node is None:
            name_of[op.out] = inputs[0]
            if isinstance(op, ops.ExitOp | ops.CutOp):
                twin.outputs.append(inputs[0])
            elif not isinstance(op, ops.Normalize):
                _activate(twin, inputs[0])
            continue
        twin.nodes.append(node)
        name_of[op.out] = op.out
        twin.shapes[op.out] = types[op.out].shape
    return twin


def _activate(twin: Twin, tensor: str) -> None:
    for node in twin.nodes:
        if node.out == tensor and node.kind in ("conv", "add"):
            node.relu = True


def _node(
    op: ops.Op,
    inputs: tuple[str, ...],
    bundle: Bundle,
    source: tuple[int, int, int],
    result: tuple[int, int, int],
    rng: np.random.Generator,
) -> Node | None:
    if isinstance(op, ops.ConvInt8 | ops.ConvFloat | ops.ConvBinary | ops.ConvKbit):
        kh, kw = bundle.edge[op.params["weight"]].shape[:2]
        weight, bias = _weights((kh, kw, source[2], result[2]), rng)
        signs = isinstance(op, ops.ConvBinary) and op.epilogue == "bits"
        return Node("conv", inputs, op.out, (kh, kw), op.stride, op.padding, signs, weight, bias)
    if isinstance(op, ops.Linear):
        weight, bias = _weights((*source, result[2]), rng)
        return Node("conv", inputs, op.out, source[:2], weight=weight, bias=bias)
    if isinstance(op, ops.AvgPool):
        return Node("avg_pool", inputs, op.out, op.kernel, op.stride)
    if isinstance(op, ops.MaxPool):
        return Node("max_pool", inputs, op.out, op.kernel, op.stride)
    if isinstance(op, ops.Add):
        return Node("add", inputs, op.out)
    if isinstance(op, ops.Repeat):
        return Node("repeat", inputs, op.out, times=op.times)
    if isinstance(op, _ELEMENTWISE):
        return None
    raise TypeError(f"no twin of the operation {type(op).__name__}; add it to benchmarks/twin.py")


def _weights(
    shape: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    fan_in = shape[0] * shape[1] * shape[2]
    weight = (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)
    return weight, (rng.normal(size=shape[3]) * 0.1).astype(np.float32)
