"""The optimizers that recipes name, and Muon, which torch has for matrices only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from hybrid_model.nn.layers import QuantConv2d
from hybrid_model.training.recipe import Schedule

#: Coefficients of the quintic iteration, and how often (Jordan et al. 2024, "Muon", kellerjordan.github.io/posts/muon).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 3


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix (R, C) with nearly the same singular vectors and all singular values near 1, bfloat16.

    Newton-Schulz: X / |X|, then X <- a X + (b A + c A^2) X with A = X X^T (Jordan et al. 2024, "Muon").
    """
    a, b, c = _QUINTIC
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized: every update of a convolution (OC, IC, KH, KW) has singular values near 1.

    Before each update the weights are brought back to a Frobenius norm of sqrt(OC), so that `lr` is relative to them;
    only weights in front of a batch norm may be trained by it (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds",
    arXiv 2404.00498, and its Muon variant). `momentum` is Nesterov's.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.6) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group["lr"], group["momentum"])

    def _update(self, weight: Tensor, lr: float, momentum: float) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        average = state["momentum"].mul_(momentum).add_(weight.grad)
        ahead = weight.grad.add(average, alpha=momentum)  # type: ignore[union-attr]
        change = orthogonalized(ahead.reshape(len(weight), -1)).reshape(weight.shape)
        weight.mul_(len(weight) ** 0.5 / weight.norm().clamp_min(1e-7))
        weight.add_(change.to(weight.dtype), alpha=-lr)


def build_optimizers(network: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """The schedule's optimizer, and AdamW beside Muon for all that is no convolution.

    Weight decay falls on convolution and linear weights only: norms, thresholds and slopes go without. Every group
    notes its peak rate as `peak_lr`.
    """
    convolutions = [m.weight for m in network.modules() if isinstance(m, QuantConv2d)]
    known = {id(weight) for weight in convolutions}
    matrices = [p for p in network.parameters() if p.dim() > 1 and id(p) not in known]
    vectors = [p for p in network.parameters() if p.dim() <= 1]
    decay = schedule.weight_decay
    free = {"params": vectors, "weight_decay": 0.0}
    if schedule.optimizer == "muon":
        rest: list[dict[str, Any]] = [{"params": matrices, "weight_decay": decay}, free]
        chosen: list[torch.optim.Optimizer] = [
            Muon(convolutions, schedule.lr, schedule.momentum),
            torch.optim.AdamW(rest, lr=schedule.adamw_lr),
        ]
    elif schedule.optimizer == "sgd":
        every = [{"params": convolutions + matrices, "weight_decay": decay}, free]
        chosen = [torch.optim.SGD(every, lr=schedule.lr, momentum=schedule.momentum, nesterov=True)]
    else:
        every = [{"params": convolutions + matrices, "weight_decay": decay}, free]
        chosen = [torch.optim.AdamW(every, lr=schedule.lr)]
    for optimizer in chosen:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return chosen
