"""Other runtimes, one thread each: a twin in, a function that runs it once out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.torch_twin import forward, weights_of
from benchmarks.twin import Twin

Runner = Callable[[], Any]
#: Set in a child process whose comparisons keep to AVX2; not every runtime lets itself be held to that.
CAPPED = "DEWPOINT_BENCH_AVX2"


def onnxruntime(twin: Twin, int8: bool) -> Runner:
    """ONNX Runtime; int8 as QDQ."""
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_onnx(twin, int8), options, providers=["CPUExecutionProvider"])
    feed = {"input": _input(twin)}
    return lambda: session.run(None, feed)


def openvino(twin: Twin, int8: bool) -> Runner:
    """OpenVINO; int8 from the same QDQ model. Float32 stays float32: no bf16."""
    ov = importlib.import_module("openvino")
    core = ov.Core()
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(core.read_model(_onnx(twin, int8)), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(_input(twin)))
    return lambda: request.infer()


def litert(twin: Twin, int8: bool) -> Runner:
    """LiteRT with XNNPACK, which it uses by itself."""
    interpreters = importlib.import_module("ai_edge_litert.interpreter")
    content = importlib.import_module("benchmarks.tflite_file").tflite_bytes(twin, int8=int8)
    interpreter = interpreters.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    described = interpreter.get_input_details()[0]
    x = _input(twin).transpose(0, 2, 3, 1)
    x = np.rint(x * 20).clip(-128, 127).astype(np.int8) if int8 else np.ascontiguousarray(x)
    interpreter.set_tensor(described["index"], x)
    return lambda: interpreter.invoke()


def torch(twin: Twin, int8: bool) -> Runner:
    """PyTorch, float32, frozen and in channels-last order."""
    if int8:
        raise LookupError("torch is measured in float32")
    th = importlib.import_module("torch")
    th.set_num_threads(1)
    weights = weights_of(th, twin)
    x = th.from_numpy(_input(twin)).contiguous(memory_format=th.channels_last)

    def run() -> Any:
        with th.inference_mode():
            return forward(th, twin, weights, x)

    return run


#: By name: the module that has to be there, what builds a runner, and whether AVX2 can be asked of it.
RUNTIMES: dict[str, tuple[str, Callable[[Twin, bool], Runner], bool]] = {
    "onnxruntime": ("onnxruntime", onnxruntime, False),
    "litert": ("ai_edge_litert", litert, False),
    "openvino": ("openvino", openvino, True),
    "torch": ("torch", torch, True),
}


def available() -> tuple[list[str], dict[str, str]]:
    """Runtimes that can be measured here, and why the others cannot."""
    capped = bool(os.environ.get(CAPPED))
    there, missing = [], {}
    for name, (module, _, can_be_capped) in RUNTIMES.items():
        if importlib.util.find_spec(module) is None:
            missing[name] = f'not installed: pip install "dewpoint[bench]" ({module})'
        elif capped and not can_be_capped:
            missing[name] = "cannot be held to AVX2 on a machine that has AVX-512"
        else:
            there.append(name)
    return there, missing


def _onnx(twin: Twin, int8: bool) -> bytes:
    content: bytes = importlib.import_module("benchmarks.onnx_file").onnx_bytes(twin, int8=int8)
    return content


def _input(twin: Twin) -> np.ndarray:
    h, w, c = twin.shapes["input"]
    return np.random.default_rng(1).normal(size=(1, c, h, w)).astype(np.float32)
