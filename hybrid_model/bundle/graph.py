"""The check of an edge graph: do its operations, tensors and parameters go together?

Everything that an engine relies on is established here, once, at load: names, order and stages, the kind and shape of
every tensor, presence, type and shape of every parameter, and that no integer sum can reach 2^24 (below that float32
arithmetic on whole numbers is exact, so engines may sum in int32 or in float32).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import cut as cut_codec
from hybrid_model.bundle import ops
from hybrid_model.bundle.guard import PREFIX, GuardError, guard_arrays
from hybrid_model.bundle.manifest import Manifest
from hybrid_model.bundle.tensor_type import Kind, TensorType
from hybrid_model.errors import DewpointError

Arrays = Mapping[str, npt.NDArray[Any]]

#: Whole numbers below this are exact in float32, and so is every sum of them that stays below.
EXACT_SUM_LIMIT = 2**24
#: Elements of all tensors together, for one sample.
MAX_ELEMENTS = 2**26

#: Type and shape of every parameter. C, H, W are the input's, F = H * W * C, WORDS = ceil(C / 32); others are bound by
#: the first parameter that names them.
_PARAMS: dict[str, dict[str, tuple[str, str]]] = {
    "normalize": {"zero_point": ("float32", "C"), "scale": ("float32", "C")},
    "conv_int8": {
        "weight": ("int8", "KH KW C OC"),
        "zero_point": ("int16", "C"),
        "scale": ("float32", "OC"),
        "bias": ("float32", "OC"),
    },
    "conv_float": {"weight": ("float32", "KH KW C OC"), "bias": ("float32", "OC")},
    "conv_binary float": {
        "weight": ("uint32", "KH KW OC WORDS"),
        "scale": ("float32", "OC"),
        "bias": ("float32", "OC"),
    },
    "conv_binary bits": {"weight": ("uint32", "KH KW OC WORDS"), "threshold": ("int32", "OC")},
    "conv_kbit": {"weight": ("int8", "KH KW C OC"), "scale": ("float32", "OC"), "bias": ("float32", "OC")},
    "binarize": {"threshold": ("float32", "C")},
    "rprelu": {"shift_in": ("float32", "C"), "slope": ("float32", "C"), "shift_out": ("float32", "C")},
    "linear": {"weight": ("float32", "F K"), "bias": ("float32", "K")},
    "cut bits": {"threshold": ("float32", "C")},
}

#: Kinds of tensor that each operation takes.
_TAKES: dict[str, tuple[Kind, ...]] = {
    "normalize": ("uint8", "float32"),
    "conv_int8": ("uint8",),
    "conv_binary": ("bits",),
    "conv_kbit": ("levels",),
    "max_pool": ("float32", "bits"),
    "exit": ("logits",),
}


class GraphError(DewpointError, ValueError):
    """An edge graph that cannot be run; the message says which operation and why."""


def check_graph(manifest: Manifest, arrays: Arrays) -> dict[str, TensorType]:
    """The type of every tensor of the manifest's edge graph, by name.

    Raises GraphError where operations, parameters (`arrays` by name), exits and cut do not go together.
    """
    tensors = {"input": TensorType(manifest.input.dtype, manifest.input.shape)}
    stage, elements = 0, math.prod(manifest.input.shape)
    for number, op in enumerate(manifest.edge_graph):
        where = f"operation {number} ({op.op} -> {op.out})"
        try:
            if op.stage < stage:
                raise GraphError(f"stage {op.stage} stands behind stage {stage}")
            if op.out in tensors:
                raise GraphError(f"there already is a tensor {op.out}")
            missing = [name for name in op.inputs if name not in tensors]
            if missing:
                raise GraphError(f"no tensor {missing[0]} in front of it")
            stage = op.stage
            inputs = [tensors[name] for name in op.inputs]
            tensors[op.out] = _output(op, inputs, resolve_params(op, inputs[0], arrays))
        except GraphError as error:
            raise GraphError(f"{where}: {error}") from None
        elements += math.prod(tensors[op.out].shape)
        if elements > MAX_ELEMENTS:
            raise GraphError(f"{where}: one sample's tensors have over {MAX_ELEMENTS} elements")
    _check_ends(manifest, tensors)
    _check_guards(manifest, tensors, arrays)
    return tensors


def resolve_params(op: ops.Op, source: TensorType, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an operation by role, each of the type and shape that its input asks for; else GraphError."""
    wanted = _wanted_params(op)
    if set(op.params) != set(wanted):
        raise GraphError(f"parameters are {sorted(op.params)}, not {sorted(wanted)}")
    h, w, c = source.shape
    dims = {"C": c, "F": h * w * c, "WORDS": (c + 31) // 32}
    found = {}
    for role, (dtype, shape) in wanted.items():
        if op.params[role].startswith(PREFIX):
            raise GraphError(f"{role} is {op.params[role]}, which is a guard's")
        array = arrays.get(op.params[role])
        if array is None:
            raise GraphError(f"edge.safetensors has no {op.params[role]} ({role})")
        names = shape.split()
        if array.ndim == len(names):
            expected = tuple(dims.setdefault(name, size) for name, size in zip(names, array.shape, strict=True))
        else:
            expected = ()
        if array.dtype != np.dtype(dtype) or array.shape != expected or 0 in expected:
            sizes = ", ".join(f"{name}={dims[name]}" if name in dims else name for name in names)
            raise GraphError(f"{role} is {array.dtype} {list(array.shape)}, not {dtype} [{sizes}]")
        _check_values(op, role, array)
        found[role] = array
    return found


def _wanted_params(op: ops.Op) -> dict[str, tuple[str, str]]:
    if isinstance(op, ops.ConvBinary):
        return _PARAMS[f"conv_binary {op.epilogue}"]
    if isinstance(op, ops.CutOp):
        return _PARAMS["cut bits"] if op.bits == 1 else {}
    return _PARAMS.get(op.op, {})


def _check_values(op: ops.Op, role: str, array: npt.NDArray[Any]) -> None:
    if array.dtype != np.float32:
        return
    # An infinite threshold is a channel that is always or never on; every other number has to be one.
    if np.isnan(array).any() or (role != "threshold" and np.isinf(array).any()):
        raise GraphError(f"{role} has a value that is not finite")


def _output(op: ops.Op, inputs: list[TensorType], params: Mapping[str, npt.NDArray[Any]]) -> TensorType:
    source = inputs[0]
    takes = _TAKES.get(op.op, ("float32",))
    for tensor in inputs:
        if tensor.kind not in takes:
            raise GraphError(f"it takes {' or '.join(takes)}, not {tensor.kind}")
    if len(inputs) != (2 if op.op == "add" else 1):
        raise GraphError(f"it does not take {len(inputs)} tensors")
    if op.op == "add" and inputs[0].shape != inputs[1].shape:
        raise GraphError(f"it adds {list(inputs[0].shape)} and {list(inputs[1].shape)}")
    return _typed(op, source, params)


def _typed(op: ops.Op, source: TensorType, params: Mapping[str, npt.NDArray[Any]]) -> TensorType:
    if isinstance(op, ops.ConvInt8 | ops.ConvFloat | ops.ConvBinary | ops.ConvKbit):
        return _convolved(op, source, params)
    if isinstance(op, ops.AvgPool | ops.MaxPool):
        shape = _windows(source.shape, op.kernel, op.stride, (0, 0))
        return TensorType(source.kind, (*shape, source.shape[2]))
    if isinstance(op, ops.Repeat):
        return TensorType("float32", (*source.shape[:2], source.shape[2] * op.times))
    if isinstance(op, ops.Binarize):
        return TensorType("bits", source.shape)
    if isinstance(op, ops.Quantize):
        return TensorType("levels", source.shape, op.bits)
    if isinstance(op, ops.Linear):
        return TensorType("logits", (1, 1, params["bias"].shape[0]))
    if isinstance(op, ops.ExitOp):
        return source
    if isinstance(op, ops.CutOp):
        if (op.gain is None) != (op.bits == 1):
            raise GraphError("a cut has a threshold at 1 bit and a gain above")
        return TensorType("codes", source.shape, op.bits)
    return TensorType("float32", source.shape)


def _convolved(
    op: ops.ConvInt8 | ops.ConvFloat | ops.ConvBinary | ops.ConvKbit,
    source: TensorType,
    params: Mapping[str, npt.NDArray[Any]],
) -> TensorType:
    weight = params["weight"]
    kernel = (weight.shape[0], weight.shape[1])
    if op.padding[0] >= kernel[0] or op.padding[1] >= kernel[1]:
        raise GraphError(f"padding {list(op.padding)} is not smaller than the kernel {list(kernel)}")
    if isinstance(op, ops.ConvBinary):
        outputs, greatest = weight.shape[2], _binary_bound(op, source, weight)
    else:
        outputs, greatest = weight.shape[3], _integer_bound(op, source, params)
    if greatest >= EXACT_SUM_LIMIT:
        raise GraphError(f"its integer sums may reach {greatest}, and only sums below {EXACT_SUM_LIMIT} are exact")
    shape = _windows(source.shape, kernel, op.stride, op.padding)
    bits_out = isinstance(op, ops.ConvBinary) and op.epilogue == "bits"
    return TensorType("bits" if bits_out else "float32", (*shape, outputs))


def _binary_bound(op: ops.ConvBinary, source: TensorType, weight: npt.NDArray[Any]) -> int:
    channels = source.shape[2]
    if op.in_channels != channels:
        raise GraphError(f"in_channels is {op.in_channels}, its input has {channels}")
    if channels % 32 and (weight[..., -1] >> np.uint32(channels % 32)).any():
        raise GraphError("unused bits of its weights are not zero")
    return int(weight.shape[0] * weight.shape[1] * channels)


def _integer_bound(
    op: ops.ConvInt8 | ops.ConvFloat | ops.ConvKbit, source: TensorType, params: Mapping[str, npt.NDArray[Any]]
) -> int:
    """The greatest magnitude that an integer sum of this convolution can have; 0 for a float one."""
    if isinstance(op, ops.ConvFloat):
        return 0
    magnitude = np.abs(params["weight"].astype(np.int64))
    if isinstance(op, ops.ConvInt8):
        zero_point = params["zero_point"].astype(np.int64)
        reach = np.maximum(np.abs(zero_point), np.abs(255 - zero_point))[:, np.newaxis]
        return int((magnitude * reach).sum(axis=(0, 1, 2)).max())
    if op.activation_bits != source.bits:
        raise GraphError(f"activation_bits is {op.activation_bits}, its input has {source.bits}")
    widest = int(magnitude.max())
    if widest > min(2**op.weight_bits - 1, 127):
        raise GraphError(f"weight {widest} does not fit {op.weight_bits} bits")
    return int(magnitude.sum(axis=(0, 1, 2)).max()) * (2**op.activation_bits - 1)


def _windows(
    shape: tuple[int, int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """Height and width of a window operation's result."""
    h, w = (
        (size + 2 * pad - k) // step + 1 for size, k, step, pad in zip(shape[:2], kernel, stride, padding, strict=True)
    )
    if h < 1 or w < 1:
        raise GraphError(f"a window of {list(kernel)} does not fit {list(shape[:2])}")
    return h, w


def _check_ends(manifest: Manifest, tensors: Mapping[str, TensorType]) -> None:
    """Exits and cut: each there once, in its stage, as the manifest describes it."""
    exits = [op for op in manifest.edge_graph if isinstance(op, ops.ExitOp)]
    if [op.exit for op in exits] != list(range(len(manifest.exits))):
        raise GraphError(f"the graph has exits {[op.exit for op in exits]}, the manifest {len(manifest.exits)}")
    for op, described in zip(exits, manifest.exits, strict=True):
        if not op.exit == op.stage == described.stage:
            raise GraphError(f"exit {op.exit} lies in stage {op.stage} and is described in stage {described.stage}")
        outputs = tensors[op.out].shape[2]
        if outputs != len(manifest.classes):
            raise GraphError(f"exit {op.exit} has {outputs} outputs for {len(manifest.classes)} classes")
    cuts = [op for op in manifest.edge_graph if isinstance(op, ops.CutOp)]
    if len(cuts) != 1 or cuts[0].stage != len(exits):
        raise GraphError(f"there has to be one cut, in stage {len(exits)}")
    computed, stated = tensors[cuts[0].out], manifest.cut
    size = cut_codec.packed_bytes(computed.shape, cuts[0].bits)
    if (computed.shape, computed.bits, size) != (stated.shape, stated.bits, stated.bytes):
        raise GraphError(
            f"the cut is {list(computed.shape)} at {computed.bits} bits ({size} bytes), "
            f"described as {list(stated.shape)} at {stated.bits} ({stated.bytes})"
        )
    beyond = [layer.name for layer in manifest.layers if layer.stage != "cloud" and layer.stage > len(exits)]
    if beyond:
        raise GraphError(f"layer {beyond[0]} lies in a stage beyond the cut's")


def _check_guards(manifest: Manifest, tensors: Mapping[str, TensorType], arrays: Arrays) -> None:
    """Guards: each on a tensor that is there when its exit decides, with parameters that fit it."""
    stages = {"input": 0} | {op.out: op.stage for op in manifest.edge_graph}
    for number, described in enumerate(manifest.exits):
        guard = described.guard
        if guard is None:
            continue
        if guard.source not in tensors:
            raise GraphError(f"exit {number}: its guard reads {guard.source}, and there is no such tensor")
        if stages[guard.source] > described.stage:
            raise GraphError(f"exit {number}: its guard reads {guard.source}, which is made behind it")
        try:
            guard_arrays(guard, tensors[guard.source], len(manifest.classes), arrays)
        except GuardError as error:
            raise GraphError(f"exit {number}: {error}") from None
