"""Random binarized networks to time: chains of one layer, and a plain net. Their weights do not change the time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle
from hybrid_model.cut import packed_bytes
from hybrid_model.runtime.packing import pack_words

Shape = tuple[int, int, int]
_CLASSES = 10


class _Writer:
    """Collects operations and arrays; each method returns its tensor's name and remembers its shape."""

    def __init__(self, shape: Shape) -> None:
        self.rng = np.random.default_rng(0)
        self.ops: list[dict[str, Any]] = []
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.shapes: dict[str, Shape] = {"input": shape}
        self.stage = 0

    def add(self, op: str, source: str, shape: Shape, params: dict[str, npt.NDArray[Any]], **attributes: Any) -> str:
        out = f"t{len(self.ops)}"
        names = {role: f"{out}.{role}" for role in params}
        self.arrays |= {f"{out}.{role}": array for role, array in params.items()}
        entry = {"op": op, "in": [source], "out": out, "stage": self.stage, **attributes}
        self.ops.append(entry | {"params": names} if names else entry)
        self.shapes[out] = shape
        return out

    def floats(self, *shape: int) -> npt.NDArray[np.float32]:
        return self.rng.normal(size=shape).astype(np.float32)

    def stem(self, channels: int, kernel: int) -> str:
        h, w, c = self.shapes["input"]
        params: dict[str, npt.NDArray[Any]] = {
            "zero_point": np.full(c, 128, dtype=np.int16),
            "weight": self.rng.integers(-127, 128, (kernel, kernel, c, channels)).astype(np.int8),
            "scale": np.full(channels, 1e-4, dtype=np.float32),
            "bias": self.floats(channels),
        }
        pad = kernel // 2
        x = self.add("conv_int8", "input", (h, w, channels), params, stride=[1, 1], padding=[pad, pad])
        return self.add("binarize", x, (h, w, channels), {"threshold": self.floats(channels)})

    def conv(self, source: str, outputs: int, epilogue: str = "bits") -> str:
        h, w, c = self.shapes[source]
        params: dict[str, npt.NDArray[Any]] = {"weight": pack_words(self.rng.integers(0, 2, (3, 3, outputs, c)))}
        if epilogue == "bits":
            params["threshold"] = self.rng.integers(-9, 10, outputs).astype(np.int32)
        else:
            params |= {"scale": np.full(outputs, 0.05, dtype=np.float32), "bias": self.floats(outputs)}
        place = {"stride": [1, 1], "padding": [1, 1], "in_channels": c, "epilogue": epilogue}
        return self.add("conv_binary", source, (h, w, outputs), params, **place)

    def pool(self, op: str, source: str, size: int) -> str:
        h, w, c = self.shapes[source]
        return self.add(op, source, (h // size, w // size, c), {}, kernel=[size, size], stride=[size, size])

    def finish(self, source: str) -> Bundle:
        """An exit by global average pooling, a cut behind it, and all of it as a bundle."""
        h, w, c = self.shapes[source]
        pooled = self.pool("avg_pool", source, h)
        params = {"weight": self.floats(c, _CLASSES) / 10, "bias": self.floats(_CLASSES)}
        logits = self.add("linear", pooled, (1, 1, _CLASSES), params)
        self.add("exit", logits, (1, 1, _CLASSES), {}, exit=0)
        self.stage = 1
        self.add("cut", source, (h, w, c), {"threshold": self.floats(c)}, bits=1)
        manifest = {
            "schema": 1,
            "name": "random",
            "input": {"kind": "array", "shape": list(self.shapes["input"]), "dtype": "uint8"},
            "classes": [str(k) for k in range(_CLASSES)],
            "architecture": {},
            "edge_graph": self.ops,
            "exits": [{"name": "exit", "stage": 0, "threshold": 0.5}],
            "cut": {"shape": [h, w, c], "bits": 1, "bytes": packed_bytes((h, w, c), 1)},
            "layers": [],
            "calibration": None,
            "provenance": {},
            "twin": None,
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "random.dew"
            bundle_file.save(path, manifest, self.arrays, {})
            return bundle_file.load(path)


def chain(channels: int, size: int, length: int) -> Bundle:
    """`length` binary 3x3 convolutions, channels -> channels at size x size, behind a cheap first layer."""
    write = _Writer((size, size, 4))
    x = write.stem(channels, 1)
    for _ in range(length - 1):
        x = write.conv(x, channels)
    return write.finish(write.conv(x, channels, "float"))


def plain_net() -> Bundle:
    """3->64 stem, 64->64 at 32, pool, 64->128, 128->128 at 16, pool, 128->128 at 8, average pool, 10 classes."""
    write = _Writer((32, 32, 3))
    x = write.pool("max_pool", write.conv(write.stem(64, 3), 64), 2)
    x = write.pool("max_pool", write.conv(write.conv(x, 128), 128), 2)
    return write.finish(write.conv(x, 128, "float"))
