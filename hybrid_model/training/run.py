"""A training run's outcome: the network, how it came about, and on what kind of machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field

import torch

from hybrid_model.errors import DewpointError
from hybrid_model.nn import HybridNetwork
from hybrid_model.training.recipe import Recipe
from hybrid_model.training.trainable import Trainable


class TrainingError(DewpointError, RuntimeError):
    """A run that cannot go on; the message says why."""


@dataclass
class TrainingRun:
    """A trained network and how it came about. `finished`: whether the schedule came to its end."""

    network: Trainable
    recipe: Recipe
    precision: str
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    twin: TrainingRun | None = None
    machine: str = "unknown"
    teacher: TrainingRun | None = None
    taught_twin: TrainingRun | None = None
    finished: bool = True

    @property
    def hybrid(self) -> HybridNetwork:
        """The network, which has an edge. Raises TrainingError for one that only teaches."""
        if not isinstance(self.network, HybridNetwork):
            raise TrainingError(f"{self.recipe.name} is a teacher, which has no edge: it trains, but makes no bundle")
        return self.network


def machine_kind(device: torch.device) -> str:
    """`NVIDIA H200`, or `x86_64 CPU, 2 cores, AVX512`: the kind, never a name or an address."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (
        f"{platform.machine()} CPU, {cores} core{'s' if cores > 1 else ''}, {torch.backends.cpu.get_cpu_capability()}"
    )
