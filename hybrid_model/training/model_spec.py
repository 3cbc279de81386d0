"""A model that somebody already has: where it is, and how it takes pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hybrid_model.errors import DewpointError

__all__ = ["ModelError", "ModelSpec", "model_digest"]


class ModelError(DewpointError, ValueError):
    """A model that cannot teach; the message says why, and what would help."""


class ModelSpec(BaseModel):
    """Where the model is, and how it takes pictures; what is not given is read from the model.

    `path`: the ONNX file. `size`: (height, width) of its input. `layout`: `nchw` or `nhwc`. `mean` and `deviation`: by
    channel, of values in 0..1. `classes`: the names of its outputs in order, where they are not those of the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    size: tuple[int, int] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    mean: tuple[float, ...] | None = Field(default=None, min_length=1, max_length=4)
    deviation: tuple[float, ...] | None = Field(default=None, min_length=1, max_length=4)
    classes: tuple[str, ...] | None = None


def model_digest(path: str) -> str:
    """16 hex digits of the model's SHA-256: a run belongs to the model it learned from. Raises ModelError."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}): give the teacher's file") from error
