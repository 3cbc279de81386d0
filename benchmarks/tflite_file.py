"""A twin as a TensorFlow Lite model, float32 or int8 (weights per channel), written without TensorFlow."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.twin import Node, Twin

_SCALE = 0.05
_OPERATORS = {
    "conv": "CONV_2D",
    "add": "ADD",
    "repeat": "CONCATENATION",
    "avg_pool": "AVERAGE_POOL_2D",
    "max_pool": "MAX_POOL_2D",
}


class _Writer:
    def __init__(self, twin: Twin, int8: bool) -> None:
        self.twin, self.int8 = twin, int8
        self.buffers: list[Any] = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.index: dict[str, int] = {}
        self.operators: list[Any] = []
        self.codes: list[str] = []
        self.activation("input", False)

    def tensor(self, name: str, shape: tuple[int, ...], kind: int, data: bytes | None, quantization: Any) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.quantization = name, list(shape), kind, quantization
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, dtype=np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        self.tensors.append(made)
        self.index[name] = len(self.tensors) - 1
        return self.index[name]

    def activation(self, name: str, relu: bool) -> int:
        shape = (1, *self.twin.shapes[name])
        if not self.int8:
            return self.tensor(name, shape, schema.TensorType.FLOAT32, None, None)
        zero = -128 if relu else 0
        return self.tensor(name, shape, schema.TensorType.INT8, None, _quantization(np.array([_SCALE]), zero))

    def weights(self, node: Node) -> list[int]:
        assert node.weight is not None
        assert node.bias is not None
        weight = np.ascontiguousarray(node.weight.transpose(3, 0, 1, 2))
        if not self.int8:
            kind = schema.TensorType.FLOAT32
            return [
                self.tensor(f"{node.out}/w", weight.shape, kind, weight.tobytes(), None),
                self.tensor(f"{node.out}/b", node.bias.shape, kind, node.bias.tobytes(), None),
            ]
        scale = np.abs(weight).max(axis=(1, 2, 3)) / 127
        whole = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        bias = np.rint(node.bias / (scale * _SCALE)).astype(np.int32)
        kinds = schema.TensorType.INT8, schema.TensorType.INT32
        return [
            self.tensor(f"{node.out}/w", whole.shape, kinds[0], whole.tobytes(), _quantization(scale, 0)),
            self.tensor(f"{node.out}/b", bias.shape, kinds[1], bias.tobytes(), _quantization(scale * _SCALE, 0)),
        ]

    def add(self, node: Node) -> None:
        operator = schema.OperatorT()
        name = _OPERATORS[node.kind]
        if name not in self.codes:
            self.codes.append(name)
        operator.opcodeIndex = self.codes.index(name)
        operator.inputs = [self.index[i] for i in node.inputs]
        if node.kind == "conv":
            operator.inputs += self.weights(node)
            options = schema.Conv2DOptionsT()
            operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        elif node.kind == "add":
            options = schema.AddOptionsT()
            operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
        elif node.kind == "repeat":
            operator.inputs *= node.times
            options = schema.ConcatenationOptionsT()
            options.axis = 3
            operator.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
        else:
            options = schema.Pool2DOptionsT()
            operator.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
            options.filterHeight, options.filterWidth = node.kernel
        if node.kind not in ("add", "repeat"):
            options.strideH, options.strideW = node.stride
            options.padding = schema.Padding.SAME if any(node.padding) else schema.Padding.VALID
        relu = schema.ActivationFunctionType.RELU if node.relu else schema.ActivationFunctionType.NONE
        options.fusedActivationFunction = relu
        operator.builtinOptions = options
        moved = node.kind.endswith("pool") or node.kind == "repeat"
        zero = self.tensors[self.index[node.inputs[0]]].quantization
        after_relu = bool(zero is not None and zero.zeroPoint[0] == -128) if moved else node.relu
        operator.outputs = [self.activation(node.out, after_relu)]
        self.operators.append(operator)


def tflite_bytes(twin: Twin, *, int8: bool) -> bytes:
    """The model: input (1, H, W, C), float32 or int8."""
    write = _Writer(twin, int8)
    for node in twin.nodes:
        write.add(node)
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = write.tensors, write.operators
    graph.inputs, graph.outputs = [write.index["input"]], [write.index[name] for name in twin.outputs]
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], write.buffers
    model.operatorCodes = []
    for name in write.codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 3 if name == "CONV_2D" else 2
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _quantization(scale: np.ndarray, zero: int) -> Any:
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = scale.astype(np.float32).tolist(), [zero] * len(scale)
    made.quantizedDimension = 0
    return made
