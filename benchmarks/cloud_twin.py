"""A cloud half as a twin, with its own weights: what other runtimes are given to run."""

from __future__ import annotations

import onnx
import torch

from benchmarks.onnx_file import onnx_bytes
from benchmarks.twin import Node, Twin
from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.folded import folded
from hybrid_model.nn.layers import BasicUnit, QuantConv2d


def cloud_twin(network: HybridNetwork) -> Twin:
    """Batch norms folded; the input is what crossed the cut. Raises LookupError where a unit has no counterpart."""
    h, w, c = network.cut_shape
    twin = Twin(shapes={"input": (h, w, c)})

    def convolution(
        name: str, source: str, weight: torch.Tensor, bias: torch.Tensor, conv: QuantConv2d | None = None, **more: bool
    ) -> str:
        height, width, _ = twin.shapes[source]
        kernel = (weight.shape[2], weight.shape[3])
        stride, padding = ((1, 1), (0, 0)) if conv is None else (conv.stride, conv.padding)
        own = weight.permute(2, 3, 1, 0).contiguous().numpy()
        twin.nodes.append(Node("conv", (source,), name, kernel, stride, padding, weight=own, bias=bias.numpy(), **more))
        sizes = [
            (size + 2 * pad - k) // step + 1
            for size, pad, k, step in zip((height, width), padding, kernel, stride, strict=True)
        ]
        twin.shapes[name] = (sizes[0], sizes[1], weight.shape[0])
        return name

    def pooled(name: str, source: str, pool: tuple[int, int]) -> str:
        height, width, channels = twin.shapes[source]
        twin.nodes.append(Node("avg_pool", (source,), name, pool, pool))
        twin.shapes[name] = (height // pool[0], width // pool[1], channels)
        return name

    at = "input"
    for number, unit in enumerate(network.cloud):
        if not isinstance(unit, BasicUnit) or unit.shortcut.times > 1:
            raise LookupError(f"{type(unit).__name__} has no counterpart")
        first = convolution(f"{number}/1", at, *folded(unit.conv1, unit.norm1), unit.conv1, relu=True)
        second = convolution(f"{number}/2", first, *folded(unit.conv2, unit.norm2), unit.conv2)
        way = at if unit.shortcut.stride == (1, 1) else pooled(f"{number}/pool", at, unit.shortcut.stride)
        if unit.shortcut.conv is not None and unit.shortcut.norm is not None:
            way = convolution(f"{number}/way", way, *folded(unit.shortcut.conv, unit.shortcut.norm), unit.shortcut.conv)
        at = f"{number}/sum"
        twin.nodes.append(Node("add", (second, way), at, relu=True))
        twin.shapes[at] = twin.shapes[second]
    head = network.classifier
    at = pooled("pool", at, head.pool)
    height, width, channels = twin.shapes[at]
    weight = head.linear.weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    twin.outputs.append(convolution("logits", at, weight.contiguous(), head.linear.bias))
    return twin


def cloud_onnx(network: HybridNetwork, batch: int) -> bytes:
    """As an ONNX model for batches of `batch`: input (N, c, h, w) float32 -> logits (N, classes, 1, 1)."""
    model = onnx.load_from_string(onnx_bytes(cloud_twin(network), int8=False))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return bytes(model.SerializeToString())
