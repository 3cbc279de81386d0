"""Plans of a few operations, put together without a bundle, so that one kernel at a time can be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import TensorType, ops
from hybrid_model.runtime.packing import pack_words
from hybrid_model.runtime.plan import Plan, PlannedGuard, Stage, Step

Array = npt.NDArray[Any]
Pair = tuple[int, int]
#: Features that the exit shows at most.
_SHOWN = 200


class PlanWriter:
    """Collects steps on numbered buffers; `finish` adds an exit that shows values of a float map, and a cut."""

    def __init__(self, seed: int, shape: tuple[int, int, int], dtype: str = "uint8") -> None:
        self.rng = np.random.default_rng(seed)
        self.buffers = [TensorType("uint8" if dtype == "uint8" else "float32", shape)]
        self.steps: list[Step] = []

    def samples(self, count: int) -> Array:
        shape = (count, *self.buffers[0].shape)
        if self.buffers[0].kind == "uint8":
            return self.rng.integers(0, 256, shape, dtype=np.uint8)
        return self.rng.normal(size=shape).astype(np.float32)

    def add(self, op: ops.Op, inputs: tuple[int, ...], kind: TensorType, **params: Array) -> int:
        self.buffers.append(kind)
        output = len(self.buffers) - 1
        self.steps.append(Step(op=op, inputs=inputs, output=output, params=params, frees=()))
        return output

    def channels(self, source: int) -> int:
        return self.buffers[source].shape[2]

    def floats(self, *shape: int) -> npt.NDArray[np.float32]:
        return self.rng.normal(size=shape).astype(np.float32)

    def pointwise(self, op: type[Any], inputs: tuple[int, ...], roles: str = "", **attributes: Any) -> int:
        shape = self.buffers[inputs[0]].shape
        params = {role: self.floats(shape[2]) for role in roles.split()}
        return self.add(_op(op, **attributes), inputs, TensorType("float32", shape), **params)

    def normalize(self, source: int = 0) -> int:
        shape = self.buffers[source].shape
        params = {"zero_point": self.floats(shape[2]) + 128, "scale": self.floats(shape[2]) / 64}
        return self.add(_op(ops.Normalize), (source,), TensorType("float32", shape), **params)

    def binarize(self, source: int) -> int:
        shape = self.buffers[source].shape
        params = {"threshold": self.floats(shape[2])}
        return self.add(_op(ops.Binarize), (source,), TensorType("bits", shape), **params)

    def quantize(self, source: int, bits: int) -> int:
        op = _op(ops.Quantize, bits=bits, gain=float(self.rng.uniform(0.3, 3.0)))
        return self.add(op, (source,), TensorType("levels", self.buffers[source].shape, bits))

    def pool(self, op: type[Any], source: int, kernel: Pair, stride: Pair) -> int:
        kind = self.buffers[source]
        return self.add(
            _op(op, kernel=kernel, stride=stride),
            (source,),
            TensorType(kind.kind, (*self._windows(source, kernel, stride, (0, 0)), kind.shape[2])),
        )

    def repeat(self, source: int, times: int) -> int:
        h, w, c = self.buffers[source].shape
        return self.add(_op(ops.Repeat, times=times), (source,), TensorType("float32", (h, w, c * times)))

    def conv(
        self, name: str, source: int, outputs: int, kernel: Pair, stride: Pair, padding: Pair, weight_bits: int = 4
    ) -> int:
        """`name`: binary_float, binary_bits, float, int8 or kbit."""
        inputs, rng = self.channels(source), self.rng
        place: dict[str, Any] = {"stride": stride, "padding": padding}
        params: dict[str, Array] = {"scale": self.floats(outputs), "bias": self.floats(outputs)}
        if name.startswith("binary"):
            place |= {"in_channels": inputs, "epilogue": name.removeprefix("binary_")}
            params["weight"] = pack_words(rng.integers(0, 2, (*kernel, outputs, inputs)))
            if name == "binary_bits":
                reach = int(np.sqrt(kernel[0] * kernel[1] * inputs)) + 1
                threshold = rng.integers(-reach, reach, outputs, endpoint=True)
                threshold[rng.random(outputs) < 0.1] = rng.choice([-(2**30), 2**30])
                params = {"weight": params["weight"], "threshold": threshold.astype(np.int32)}
        elif name == "float":
            params |= {"weight": self.floats(*kernel, inputs, outputs)}
            del params["scale"]
        else:
            top = 127 if name == "int8" else min(127, 2**weight_bits - 1)
            params["weight"] = rng.integers(-top, top, (*kernel, inputs, outputs), endpoint=True).astype(np.int8)
        if name == "int8":
            wide = rng.random() < 0.2
            zero = rng.integers(-500 if wide else 0, 500 if wide else 255, inputs, endpoint=True)
            params["zero_point"] = zero.astype(np.int16)
        if name == "kbit":
            place |= {"weight_bits": weight_bits, "activation_bits": self.buffers[source].bits}
        kinds: dict[str, type[Any]] = {"float": ops.ConvFloat, "int8": ops.ConvInt8, "kbit": ops.ConvKbit}
        shape = (*self._windows(source, kernel, stride, padding), outputs)
        kind = TensorType("bits" if name == "binary_bits" else "float32", shape)
        return self.add(_op(kinds.get(name, ops.ConvBinary), **place), (source,), kind, **params)

    def shown(self, source: int) -> int:
        """Bits as floats that change wherever a bit does."""
        return self.conv("binary_float", source, 5, (1, 1), (1, 1), (0, 0))

    def guard(self, source: int, directions: int, classes: int) -> PlannedGuard:
        """A guard on bits or levels whose greatest weights are as large as they may be."""
        channels = self.channels(source)
        weight = self.rng.integers(-128, 127, (channels, directions), endpoint=True).astype(np.int8)
        return PlannedGuard(source, weight, self.floats(directions) / 1000, self.floats(classes, directions))

    def finish(self, source: int, cut_bits: int = 1, guard: int | None = None, directions: int = 7) -> Plan:
        """A plan whose logits are values of the float map `source` as they are, and whose codes are all of it cut.

        `guard`: bits or levels that the exit's guard looks at, in so many `directions`.
        """
        shape = self.buffers[source].shape
        features = int(np.prod(shape))
        chosen = self.rng.permutation(features)[:_SHOWN]
        weight = np.zeros((features, len(chosen)), dtype=np.float32)
        weight[chosen, np.arange(len(chosen))] = 1.0
        zeros = np.zeros(len(chosen), dtype=np.float32)
        logits = TensorType("logits", (1, 1, len(chosen)))
        exit_buffer = self.add(_op(ops.Linear), (source,), logits, weight=weight, bias=zeros)
        codes = TensorType("codes", shape, cut_bits)
        guarding = None if guard is None else self.guard(guard, directions, len(chosen))
        first = self.steps
        self.steps = []
        if cut_bits == 1:
            cut = self.add(_op(ops.CutOp, bits=1), (source,), codes, threshold=self.floats(shape[2]))
        else:
            cut = self.add(_op(ops.CutOp, bits=cut_bits, gain=2.0), (source,), codes)
        stages = (Stage(tuple(first), exit_buffer, (source,), guarding), Stage(tuple(self.steps), None, ()))
        return Plan(buffers=tuple(self.buffers), stages=stages, cut_buffer=cut, sample_bytes=1)

    def _windows(self, source: int, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
        h, w, _ = self.buffers[source].shape
        return (h + 2 * padding[0] - kernel[0]) // stride[0] + 1, (w + 2 * padding[1] - kernel[1]) // stride[1] + 1


def _op(op: type[Any], **attributes: Any) -> Any:
    names = {"in": ("a", "b") if op is ops.Add else ("a",), "out": "c", "stage": 0}
    return op(op=op.model_fields["op"].annotation.__args__[0], **names, **attributes)
