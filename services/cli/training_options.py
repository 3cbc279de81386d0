"""What is asked of a training on somebody's own data, whatever kind they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrainingOptions"]


@dataclass(frozen=True)
class TrainingOptions:
    """None where it is to be chosen."""

    checkpoints: Path
    device: str | None = None
    twin: bool = False
    minutes: float | None = None
    seed: int | None = None
    json_path: Path | None = None
