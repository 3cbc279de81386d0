"""How far a run has come, and how fast it learns there."""

from __future__ import annotations

import math

from hybrid_model.training.recipe import Schedule

_START = 0.05


def share_of_peak(schedule: Schedule, progress: float) -> float:
    """The learning rate at `progress` (0..1) over its peak: linear up over `warmup_share`, then as `decay` says."""
    if progress < schedule.warmup_share:
        return _START + (1.0 - _START) * progress / schedule.warmup_share
    if schedule.decay == "steps":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    rest = min((progress - schedule.warmup_share) / (1.0 - schedule.warmup_share), 1.0)
    return 1.0 - rest if schedule.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * rest))


def progress_of(schedule: Schedule, *, epochs: float, seconds: float) -> float:
    """How much of the run is over, 0..1, after so many passes over the training split, which took so long."""
    if schedule.minutes is not None:
        in_epochs = epochs / schedule.epochs_max if schedule.epochs_max is not None else 0.0
        return min(max(seconds / (60.0 * schedule.minutes), in_epochs), 1.0)
    return min(epochs / schedule.epochs, 1.0)
