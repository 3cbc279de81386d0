"""A twin in torch, float32 and channels last. Torch is given, since not everybody who measures has it."""

from __future__ import annotations

from typing import Any

from benchmarks.twin import Twin

__all__ = ["forward", "weights_of"]


def weights_of(torch: Any, twin: Twin) -> dict[str, Any]:
    """Weight and bias of each convolution, by its output."""
    return {
        node.out: (
            torch.from_numpy(node.weight.transpose(3, 2, 0, 1).copy()).to(memory_format=torch.channels_last),
            torch.from_numpy(node.bias),
        )
        for node in twin.nodes
        if node.weight is not None and node.bias is not None
    }


def forward(torch: Any, twin: Twin, weights: dict[str, Any], x: Any) -> list[Any]:
    """The outputs of a twin on x (N, C, H, W)."""
    tensors = {"input": x}
    for node in twin.nodes:
        source = tensors[node.inputs[0]]
        if node.kind == "conv":
            y = torch.nn.functional.conv2d(source, *weights[node.out], stride=node.stride, padding=node.padding)
        elif node.kind == "add":
            y = source + tensors[node.inputs[1]]
        elif node.kind == "repeat":
            y = torch.cat([source] * node.times, dim=1)
        else:
            y = getattr(torch.nn.functional, f"{node.kind}2d")(source, node.kernel, node.stride)
        tensors[node.out] = torch.relu_(y) if node.relu else y
    return [tensors[name] for name in twin.outputs]
