"""What a named tensor of an edge graph holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "TensorType"]

Kind = Literal["uint8", "float32", "bits", "levels", "logits", "codes"]


@dataclass(frozen=True)
class TensorType:
    """What a named tensor holds for one sample: `shape` (H, W, C), for logits (1, 1, K); `bits` of levels and codes."""

    kind: Kind
    shape: tuple[int, int, int]
    bits: int | None = None
