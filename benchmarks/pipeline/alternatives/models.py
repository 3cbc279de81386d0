"""The networks of the alternatives: ours without binarization, one thread each."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.torch_twin import forward, weights_of
from benchmarks.twin import twin_of
from hybrid_model import bundle as bundle_file


class Int8Edge:
    """The edge half up to its exit, in int8 by ONNX Runtime, one sample at a time; weights are random."""

    def __init__(self, net: str) -> None:
        ort = importlib.import_module("onnxruntime")
        onnx_bytes = importlib.import_module("benchmarks.onnx_file").onnx_bytes
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        twin = twin_of(bundle_file.load(bundle_file.resolve(net)), with_cut=False)
        self._shape = twin.shapes["input"]
        model = onnx_bytes(twin, int8=True)
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def answer(self, pixels: bytes) -> int:
        """Row-major uint8 pixels (H, W, C) -> a class."""
        x = np.frombuffer(pixels, np.uint8).reshape(self._shape).transpose(2, 0, 1)[None].astype(np.float32)
        x -= 128.0
        x *= 1 / 128
        return int(self._session.run(None, {"input": x})[0].argmax())


class WholeNetwork:
    """Both halves in full precision by torch, in batches; the edge half's weights are random, the cloud half's ours."""

    def __init__(self, net: str) -> None:
        self._torch = torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        loaded = bundle_file.load(bundle_file.resolve(net), cloud=True)
        self._cloud = _cloud_half(torch, loaded)
        self._twin = twin_of(loaded, with_cut=True)
        self._weights = weights_of(torch, self._twin)
        self.shape = self._twin.shapes["input"]

    def answer(self, batch: npt.NDArray[np.uint8]) -> list[int]:
        """Pixels (N, H, W, C) uint8 -> classes."""
        torch = self._torch
        with torch.inference_mode():
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).float().sub_(128).div_(128)
            cut = forward(torch, self._twin, self._weights, x)[-1]
            logits = self._cloud(cut)
        classes: list[int] = logits.argmax(dim=1).tolist()
        return classes


def _cloud_half(torch: Any, loaded: bundle_file.Bundle) -> Any:
    """The layers behind the cut as they were trained, from features (N, C, H, W) to logits."""
    nn = importlib.import_module("hybrid_model.nn")
    network = nn.HybridNetwork(nn.Architecture.model_validate(loaded.manifest.architecture))
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in loaded.cloud.items()}
    network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False).cloud_half
