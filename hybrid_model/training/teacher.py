"""Who teaches: something that answers pictures or windows with logits, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from hybrid_model.nn import HybridOutput
from hybrid_model.training.trainable import Trainable

__all__ = ["Teacher", "TrainedTeacher"]


class Teacher(Protocol):
    """Asked about every batch, without gradients and inside the autocast of the run."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples (N, H, W, C) in the data set's own units, on the run's device -> logits (N, K) there."""


class TrainedTeacher:
    """A network that was trained here, a twin or one that only teaches. Leaves it frozen, on `device`."""

    def __init__(self, network: Trainable, device: torch.device, *, compiled: bool) -> None:
        self._network: Trainable = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._network.requires_grad_(False)
        self._forward: Callable[[Tensor], HybridOutput] = torch.compile(self._network) if compiled else self._network

    def __call__(self, samples: Tensor) -> Tensor:
        """See `Teacher`."""
        return self._forward(self._network.normalize(samples)).final
