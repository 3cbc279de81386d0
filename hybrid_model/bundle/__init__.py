"""The trained network on disk: one file, `NAME.dew`, with both halves and what is known about them.

A stored zip of `manifest.json`, `edge.safetensors` and `cloud.safetensors`. Nothing in it is executable. What does not
fit (truncated, altered, another schema, shapes that do not go together) is refused with `BundleError`.
"""

from hybrid_model.bundle.bf16 import Bf16
from hybrid_model.bundle.calibration import Calibration
from hybrid_model.bundle.file import Bundle, BundleError, load, resolve, save
from hybrid_model.bundle.graph import GraphError, check_graph
from hybrid_model.bundle.guard import Guard
from hybrid_model.bundle.manifest import CutCodec, Exit, Input, Layer, Manifest
from hybrid_model.bundle.ops import Op
from hybrid_model.bundle.reuse import Reuse
from hybrid_model.bundle.tensor_type import TensorType

__all__ = [
    "Bf16",
    "Bundle",
    "BundleError",
    "Calibration",
    "CutCodec",
    "Exit",
    "GraphError",
    "Guard",
    "Input",
    "Layer",
    "Manifest",
    "Op",
    "Reuse",
    "TensorType",
    "check_graph",
    "load",
    "resolve",
    "save",
]
