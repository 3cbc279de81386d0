"""Checkpoints: the state of a run on disk, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class Checkpoint:
    """One file that a run writes after every epoch and resumes from.

    It belongs to one recipe fingerprint; a file of another recipe is never loaded.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Writes `state` atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        torch.save({"fingerprint": self.fingerprint, **state}, part)
        os.replace(part, self.path)

    def load(self) -> dict[str, Any] | None:
        """The last state, or None where there is none of this recipe."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state if state.get("fingerprint") == self.fingerprint else None
