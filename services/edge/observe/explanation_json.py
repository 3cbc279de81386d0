"""Explanations as JSON, the same from a running worker and from `dewpoint explain`."""

from __future__ import annotations

import base64
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Manifest
from hybrid_model.explanation import ExitView, Explanation, Occlusion
from services.pictures import png_bytes

__all__ = ["decision", "explanation_json"]

_DIGITS: Final = 6
_PICTURE_CHANNELS: Final = (1, 3, 4)


def explanation_json(
    manifest: Manifest, found: Explanation, sample: npt.NDArray[Any], *, device: str | None, sample_id: str
) -> dict[str, Any]:
    """`{device, id, bundle, classes, decision, input, exits, occlusion}`; numbers that are not finite are null.

    `sample` (H, W, C) is shown as a PNG where it is a picture, else as values: (W, C) where H is 1.
    """
    return {
        "device": device,
        "id": sample_id,
        "bundle": f"{manifest.name}@{manifest.network_id}",
        "classes": list(manifest.classes),
        "decision": decision(found.exit_index),
        "input": _input(manifest, sample),
        "exits": [_exit(manifest, one) for one in found.exits],
        "occlusion": _occlusion(found.occlusion),
    }


def decision(exit_index: int) -> str:
    """`exit K`, or `escalated` for -1."""
    return f"exit {exit_index}" if exit_index >= 0 else "escalated"


def _input(manifest: Manifest, sample: npt.NDArray[Any]) -> dict[str, Any]:
    described = manifest.input
    shown: dict[str, Any] = {
        "kind": described.kind,
        "shape": list(described.shape),
        "channels": None if described.channels is None else list(described.channels),
        "rate_hz": described.rate_hz,
    }
    if sample.dtype == np.uint8 and sample.shape[2] in _PICTURE_CHANNELS:
        return shown | {"png_base64": base64.b64encode(png_bytes(sample)).decode()}
    return shown | {"values": _finite(sample[0] if sample.shape[0] == 1 else sample)}


def _exit(manifest: Manifest, one: ExitView) -> dict[str, Any]:
    return {
        "exit": one.exit,
        "score_kind": one.score_kind,
        "score": _number(one.score),
        "threshold": _number(one.threshold),
        "class": one.class_index,
        "label": manifest.classes[one.class_index],
        "confidence": _number(one.confidence),
        "probabilities": _finite(one.probabilities),
        "leaves": one.leaves,
    }


def _occlusion(found: Occlusion) -> dict[str, Any]:
    return {
        "exit": found.exit,
        "score_kind": found.score_kind,
        "cell": list(found.cell),
        "patch": list(found.patch),
        "grid": _finite(found.change),
        "surer": _finite(found.surer),
    }


def _finite(values: npt.NDArray[Any]) -> list[Any]:
    """As nested lists of rounded numbers, null for what is not finite."""
    if values.ndim == 1:
        return [_number(float(value)) for value in values]
    return [_finite(row) for row in values]


def _number(value: float) -> float | None:
    return round(value, _DIGITS) + 0.0 if math.isfinite(value) else None
