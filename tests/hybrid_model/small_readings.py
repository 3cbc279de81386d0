"""A small random network for windows of readings (1, W, C), built without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybrid_model import bundle
from hybrid_model.cut import packed_bytes
from tests.hybrid_model.small_bundle import CLASSES, Arrays, Content, GraphWriter

__all__ = ["save", "small_readings"]


def small_readings(
    length: int, channels: int, *, names: list[str] | None = None, rate_hz: float | None = None, seed: int = 0
) -> tuple[Content, Arrays, Arrays]:
    """(manifest, edge tensors, cloud tensors): one exit on the whole window, and a cut of one bit a feature."""
    write = GraphWriter(np.random.default_rng(seed))
    scaling: Arrays = {"zero_point": write.floats(channels), "scale": write.floats(channels)}
    x = write.add("normalize", "input", params=scaling)
    x = write.conv("conv_float", x, channels, 5, kernel=1)
    pooled = write.add("avg_pool", x, kernel=[1, length], stride=[1, length])
    params: Arrays = {"weight": write.floats(5, CLASSES), "bias": write.floats(CLASSES)}
    write.add("exit", write.add("linear", pooled, params=params), exit=0)
    write.stage = 1
    write.add("cut", x, params={"threshold": write.floats(5)}, bits=1)
    shape = (1, length, 5)
    manifest: Content = {
        "schema": 1,
        "name": "small",
        "input": {
            "kind": "sensor", "shape": [1, length, channels], "dtype": "float32", "channels": names, "rate_hz": rate_hz,
        },
        "classes": [f"class {k}" for k in range(CLASSES)],
        "architecture": {"family": "small"},
        "edge_graph": write.ops,
        "exits": [{"name": "early", "stage": 0, "score": "entropy", "temperature": 1.0, "threshold": 0.6}],
        "cut": {"shape": list(shape), "bits": 1, "bytes": packed_bytes(shape, 1), "scale": {}},
        "layers": [],
        "calibration": None,
        "provenance": {"seed": seed},
        "twin": None,
    }  # fmt: skip
    return manifest, write.arrays, {"classifier.weight": write.floats(5, CLASSES)}


def save(
    path: Path, length: int, channels: int, *, names: list[str] | None = None, rate_hz: float | None = None
) -> bundle.Bundle:
    """The network as a file; and loaded."""
    bundle.save(path, *small_readings(length, channels, names=names, rate_hz=rate_hz))
    return bundle.load(path)
