"""A model that somebody already has, as a teacher: an ONNX file."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hybrid_model.training.model_spec import ModelError, ModelSpec

__all__ = ["OnnxTeacher"]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
#: Outputs that are no less than this and whose rows sum to 1 within that are taken for probabilities.
_NEGLIGIBLE = 1e-3
_LEAST_PROBABILITY = 1e-7


class OnnxTeacher:
    """An ONNX model, run by ONNX Runtime on the CPU.

    Its answers may be logits or probabilities; whichever they are, logits of the data's classes come out.

    Args:
        spec: The model, and what is known of it.
        classes: Of the data, in order.

    Raises ModelError, with a remedy, where ONNX Runtime is missing, the file is no model, it does not take pictures,
    or its classes are others.
    """

    def __init__(self, spec: ModelSpec, classes: tuple[str, ...]) -> None:
        self._session = _session(spec.path)
        told = dict(self._session.get_modelmeta().custom_metadata_map)
        self._input = _only(self._session.get_inputs(), spec.path)
        if self._input.type not in _DTYPES:
            raise ModelError(f"{spec.path}: takes {self._input.type}, not pixels")
        self._layout, self._channels, self._size = _shape(self._input.shape, spec)
        self._batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        self._mean = _by_channel(spec.mean or _numbers(told.get("mean")) or (0.0,), self._channels, "mean")
        deviation = spec.deviation or _numbers(told.get("std")) or (1.0,)
        self._deviation = _by_channel(deviation, self._channels, "deviation")
        self._output = self._session.get_outputs()[0].name
        self._order = _order(spec, told, classes)
        self._count = len(classes)

    def __call__(self, samples: Tensor) -> Tensor:
        """See `Teacher`: samples are uint8 pixels of one or three channels. Raises ModelError for other outputs."""
        x = samples.cpu().permute(0, 3, 1, 2).float() / 255.0
        if x.shape[1] != self._channels:
            x = x.expand(-1, self._channels, -1, -1) if x.shape[1] == 1 else x.mean(dim=1, keepdim=True)
        if self._size is not None and tuple(x.shape[2:]) != self._size:
            x = F.interpolate(x, size=self._size, mode="bilinear", antialias=True, align_corners=False)
        x = (x - self._mean) / self._deviation
        answers = torch.cat([self._run(part) for part in torch.split(x, self._batch or len(x))])
        if self._order is None and answers.shape[1] != self._count:
            raise ModelError(
                f"the teacher has {answers.shape[1]} outputs and the data {self._count} classes: name its outputs in"
                " order (--teacher-classes)"
            )
        known = answers if self._order is None else answers[:, self._order]
        return known.to(samples.device)

    def _run(self, x: Tensor) -> Tensor:
        count = len(x)
        if self._batch is not None and count < self._batch:
            x = torch.cat([x, x.new_zeros(self._batch - count, *x.shape[1:])])
        if self._input.type == "tensor(uint8)":  # it normalizes by itself
            x = (x * self._deviation + self._mean).mul(255.0).round().clamp(0.0, 255.0)
        array = (x if self._layout == "nchw" else x.permute(0, 2, 3, 1)).contiguous().numpy()
        (answers,) = self._session.run([self._output], {self._input.name: array.astype(_DTYPES[self._input.type])})
        found = torch.from_numpy(np.asarray(answers, dtype=np.float32).reshape(len(answers), -1))[:count]
        return _as_logits(found)


def _session(path: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError("an ONNX teacher needs ONNX Runtime; install it: pip install 'dewpoint[teacher]'") from None
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file: give the teacher's ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises classes of its own for every fault of a file
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path}: no ONNX model that ONNX Runtime takes ({reason}): export it again") from error


def _only(inputs: list[Any], path: str) -> Any:
    if len(inputs) != 1:
        raise ModelError(f"{path}: takes {len(inputs)} inputs, a teacher takes one batch of pictures")
    return inputs[0]


def _shape(shape: list[Any], spec: ModelSpec) -> tuple[str, int, tuple[int, int] | None]:
    """Layout, channels and size (None: any), from the model's input shape and what was given."""
    if len(shape) != 4:
        raise ModelError(f"{spec.path}: takes {shape}, not a batch of pictures of four dimensions")
    layout = spec.layout
    if layout is None:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first == last:
            raise ModelError(f"{spec.path}: {shape} does not tell its channels; give --teacher-layout nchw or nhwc")
        layout = "nchw" if first else "nhwc"
    channels, height, width = shape[1:] if layout == "nchw" else (shape[3], shape[1], shape[2])
    size = spec.size
    if size is None and isinstance(height, int) and isinstance(width, int):
        size = (height, width)
    return layout, channels if isinstance(channels, int) else 3, size


def _numbers(text: str | None) -> tuple[float, ...] | None:
    """A list of numbers in a model's metadata; None where there is none."""
    try:
        return None if text is None else tuple(float(value) for value in json.loads(text))
    except (ValueError, TypeError):
        return None


def _by_channel(values: tuple[float, ...], channels: int, name: str) -> Tensor:
    if len(values) not in (1, channels):
        raise ModelError(f"the teacher takes {channels} channels: give {name} once, or {channels} times")
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1).expand(1, channels, 1, 1)


def _order(spec: ModelSpec, told: dict[str, str], classes: tuple[str, ...]) -> list[int] | None:
    """Which output stands for which class of the data; None where they are in order, as nobody says otherwise."""
    names = spec.classes or _names(told.get("names"))
    if names is None:
        return None
    missing = [name for name in classes if name not in names]
    if missing:
        raise ModelError(
            f"the teacher does not know {missing[0]!r}, it knows {', '.join(names[:10])}: rename the class, or name the"
            " teacher's outputs in order (--teacher-classes)"
        )
    return [names.index(name) for name in classes]


def _names(text: str | None) -> tuple[str, ...] | None:
    """Names of outputs in a model's metadata: a list, or a dict by number as some exporters write it."""
    if text is None:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found, key=lambda key: (len(str(key)), str(key)))]
    return tuple(str(name) for name in found) if isinstance(found, list) else None


def _as_logits(answers: Tensor) -> Tensor:
    sums = answers.sum(dim=1)
    if bool((answers >= 0).all()) and bool(((sums - 1.0).abs() < _NEGLIGIBLE).all()):
        return answers.clamp_min(_LEAST_PROBABILITY).log()
    return answers
