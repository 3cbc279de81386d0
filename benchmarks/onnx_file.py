"""A twin as an ONNX model: float32, or int8 by quantize and dequantize nodes around every operation (QDQ)."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.twin import Node, Twin

#: One scale for all activations; behind a ReLU codes begin at 0.
_SCALE = 0.05


class _Writer:
    def __init__(self, twin: Twin, int8: bool) -> None:
        self.twin, self.int8 = twin, int8
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.after_relu: dict[str, bool] = {"input": False}

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [out], name=f"{out}/{kind}", **attributes))
        return out

    def passed(self, tensor: str) -> str:
        """The tensor as the next operation reads it: through quantize and dequantize."""
        if not self.int8:
            return tensor
        if any(n.output[0] == f"{tensor}/dq" for n in self.nodes):
            return f"{tensor}/dq"
        scale = self.constant(f"{tensor}/scale", np.array(_SCALE, dtype=np.float32))
        zero = self.constant(f"{tensor}/zero", np.array(0 if self.after_relu[tensor] else 128, dtype=np.uint8))
        quantized = self.node("QuantizeLinear", [tensor, scale, zero], f"{tensor}/q")
        return self.node("DequantizeLinear", [quantized, scale, zero], f"{tensor}/dq")

    def weights(self, node: Node) -> list[str]:
        assert node.weight is not None
        assert node.bias is not None
        weight = np.ascontiguousarray(node.weight.transpose(3, 2, 0, 1))
        if not self.int8:
            return [self.constant(f"{node.out}/w", weight), self.constant(f"{node.out}/b", node.bias)]
        scale = (np.abs(weight).max(axis=(1, 2, 3)) / 127).astype(np.float32)
        whole = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        bias = np.rint(node.bias / (scale * _SCALE)).astype(np.int32)
        made = []
        for role, values, by in (("w", whole, scale), ("b", bias, scale * np.float32(_SCALE))):
            name = f"{node.out}/{role}"
            zero = self.constant(f"{name}/zero", np.zeros(len(scale), dtype=values.dtype))
            inputs = [self.constant(f"{name}/q", values), self.constant(f"{name}/scale", by), zero]
            made.append(self.node("DequantizeLinear", inputs, name, axis=0))
        return made

    def add(self, node: Node) -> None:
        inputs = [self.passed(name) for name in node.inputs]
        out = f"{node.out}/raw" if node.relu else node.out
        if node.kind == "conv":
            pads = [*node.padding, *node.padding]
            self.node(
                "Conv",
                [*inputs, *self.weights(node)],
                out,
                kernel_shape=list(node.kernel),
                strides=list(node.stride),
                pads=pads,
            )
        elif node.kind == "add":
            self.node("Add", inputs, out)
        elif node.kind == "repeat":
            self.node("Concat", inputs * node.times, out, axis=1)
        else:
            kind = "AveragePool" if node.kind == "avg_pool" else "MaxPool"
            self.node(kind, inputs, out, kernel_shape=list(node.kernel), strides=list(node.stride))
        if node.relu:
            self.node("Relu", [out], node.out)
        moved = node.kind in ("avg_pool", "max_pool", "repeat")
        self.after_relu[node.out] = self.after_relu[node.inputs[0]] if moved else node.relu


def onnx_bytes(twin: Twin, *, int8: bool) -> bytes:
    """The model: input `input` (1, C, H, W) float32, outputs float32."""
    write = _Writer(twin, int8)
    for node in twin.nodes:
        write.add(node)
    outputs = []
    for number, tensor in enumerate(twin.outputs):
        write.node("Identity", [write.passed(tensor)], f"output{number}")
        outputs.append(_value(f"output{number}", twin.shapes[tensor]))
    graph = helper.make_graph(write.nodes, "twin", [_value("input", twin.shapes["input"])], outputs, write.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _value(name: str, shape: tuple[int, int, int]) -> Any:
    h, w, c = shape
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, h, w])
