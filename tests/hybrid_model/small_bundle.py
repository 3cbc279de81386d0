"""A small random network with every edge operation in it, built without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.cut import packed_bytes
from hybrid_model.runtime.packing import pack_words

Arrays = dict[str, npt.NDArray[Any]]
Content = dict[str, Any]
SHAPE = (8, 8, 3)
CLASSES = 4


class GraphWriter:
    """Collects operations and arrays; `add` returns the name of the new tensor."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.stage = rng, 0
        self.ops: list[Content] = []
        self.arrays: Arrays = {}

    def add(self, op: str, *inputs: str, params: Arrays | None = None, **attributes: Any) -> str:
        out = f"t{len(self.ops)}"
        entry: Content = {"op": op, "in": list(inputs), "out": out, "stage": self.stage, **attributes}
        if params:
            entry["params"] = {role: f"{out}.{role}" for role in params}
            self.arrays |= {f"{out}.{role}": array for role, array in params.items()}
        self.ops.append(entry)
        return out

    def floats(self, *shape: int) -> npt.NDArray[np.float32]:
        return self.rng.normal(size=shape).astype(np.float32)

    def whole(self, low: int, high: int, *shape: int, dtype: type = np.int8) -> npt.NDArray[Any]:
        return self.rng.integers(low, high, shape, endpoint=True).astype(dtype)

    def conv(
        self, op: str, source: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, **more: Any
    ) -> str:
        pad = kernel // 2
        place: Content = {"stride": [stride, stride], "padding": [pad, pad], **more}
        params: Arrays = {"bias": self.floats(outputs)}
        if op == "conv_float":
            params["weight"] = self.floats(kernel, kernel, inputs, outputs)
        else:
            params["scale"] = self.floats(outputs) / np.float32(kernel * kernel * inputs) ** 0.5
        if op == "conv_int8":
            params["weight"] = self.whole(-127, 127, kernel, kernel, inputs, outputs)
            params["scale"] /= 127 * 8
            params["zero_point"] = self.whole(0, 255, inputs, dtype=np.int16)
        if op == "conv_kbit":
            top = 2 ** int(more["weight_bits"]) - 1
            params["weight"] = self.whole(-top, top, kernel, kernel, inputs, outputs)
        if op == "conv_binary":
            place["in_channels"] = inputs
            params["weight"] = pack_words(self.whole(0, 1, kernel, kernel, outputs, inputs))
            if more["epilogue"] == "bits":
                params = {"weight": params["weight"], "threshold": self.whole(-9, 9, outputs, dtype=np.int32)}
        return self.add(op, source, params=params, **place)

    def head(self, source: str, size: int, channels: int, number: int) -> None:
        pooled = self.add("avg_pool", source, kernel=[size // 2, size // 2], stride=[size // 2, size // 2])
        params: Arrays = {"weight": self.floats(4 * channels, CLASSES) / channels, "bias": self.floats(CLASSES)}
        logits = self.add("linear", pooled, params=params)
        self.add("exit", logits, exit=number)


def small_guard(write: GraphWriter, number: int, source: str, channels: int, limit: float) -> Content:
    """A guard of a few directions on `source`; adds its arrays."""
    directions = 3 + number
    arrays: Arrays = {
        "weight": write.whole(-127, 127, channels, directions),
        "scale": abs(write.floats(directions)) / 100,
        "mean": write.floats(CLASSES, directions),
    }
    names = {role: f"guard.{number}.{role}" for role in arrays}
    write.arrays |= {names[role]: array for role, array in arrays.items()}
    return {"source": source, "limit": limit, **names}


def small_network(
    seed: int = 0, *, dtype: str = "uint8", channels: int = 20, cut_bits: int = 1, guard_limit: float | None = 1e12
) -> tuple[Content, Arrays, Arrays]:
    """(manifest, edge tensors, cloud tensors): two exits, a cut of `cut_bits`, every operation at least once.

    `guard_limit`: of both exits' guards, the first on bits, the second on levels; None: there are none.
    """
    write = GraphWriter(np.random.default_rng(seed))
    if dtype == "uint8":
        x = write.conv("conv_int8", "input", 3, channels)
    else:
        scaling: Arrays = {"zero_point": write.floats(3), "scale": write.floats(3)}
        x = write.conv("conv_float", write.add("normalize", "input", params=scaling), 3, channels)
    bits = write.add("binarize", x, params={"threshold": write.floats(channels)})
    bits = write.conv("conv_binary", bits, channels, channels, epilogue="bits")
    bits = write.add("max_pool", bits, kernel=[2, 2], stride=[2, 2])
    y = write.conv("conv_binary", bits, channels, 2 * channels, epilogue="float")
    way = write.conv("conv_float", write.add("avg_pool", x, kernel=[2, 2], stride=[2, 2]), channels, 2 * channels, 1)
    y = write.add("add", y, way)
    shifts: Arrays = {role: write.floats(2 * channels) for role in ("shift_in", "slope", "shift_out")}
    y = write.add("rprelu", y, params=shifts)
    again = write.add("repeat", write.add("avg_pool", x, kernel=[2, 2], stride=[2, 2]), times=2)
    y = write.add("add", y, again)
    write.head(y, 4, 2 * channels, 0)
    write.stage = 1
    levels = write.add("quantize", write.add("relu", y), bits=2, gain=1.5)
    z = write.conv("conv_kbit", levels, 2 * channels, channels, weight_bits=2, activation_bits=2)
    write.head(z, 4, channels, 1)
    write.stage = 2
    z = write.conv("conv_float", z, channels, 5, 1)
    if cut_bits == 1:
        write.add("cut", z, params={"threshold": write.floats(5)}, bits=1)
    else:
        write.add("cut", z, bits=cut_bits, gain=2.0)
    cloud: Arrays = {"classifier.weight": write.floats(5, CLASSES)}
    guards: list[Content | None] = [None, None]
    if guard_limit is not None:
        guards = [
            small_guard(write, 0, bits, channels, guard_limit),
            small_guard(write, 1, levels, 2 * channels, guard_limit),
        ]
    exits: list[Content] = [
        {"name": "early", "stage": 0, "score": "entropy", "temperature": 2.0, "threshold": 0.6},
        {"name": "late", "stage": 1, "score": "entropy", "temperature": 1.0, "threshold": 0.6},
    ]
    for described, guard in zip(exits, guards, strict=True):
        described["guard"] = guard
    manifest: Content = {
        "schema": 1,
        "name": "small",
        "input": {"kind": "array", "shape": list(SHAPE), "dtype": dtype, "channels": None, "rate_hz": None},
        "classes": [f"class {k}" for k in range(CLASSES)],
        "architecture": {"family": "small"},
        "edge_graph": write.ops,
        "exits": exits,
        "cut": {"shape": [4, 4, 5], "bits": cut_bits, "bytes": packed_bytes((4, 4, 5), cut_bits), "scale": {}},
        "layers": [],
        "calibration": None,
        "provenance": {"seed": seed},
        "twin": None,
    }
    return manifest, write.arrays, cloud


def samples(count: int, dtype: str = "uint8", seed: int = 1) -> npt.NDArray[Any]:
    """`count` random inputs (count, 8, 8, 3)."""
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return rng.normal(size=(count, *SHAPE)).astype(np.float32)
