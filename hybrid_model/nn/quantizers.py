"""Quantizers and the gradients that train through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SignSTE(torch.autograd.Function):
    """Sign with a straight-through estimator.

    Forward: +1 where x >= 0, else -1. Backward: the gradient passes where |x| <= 1, else 0
    (Hubara et al. 2016, Binarized Neural Networks, arXiv 1602.02830).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Values of any shape -> -1 and +1."""
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient where |x| <= 1, else 0."""
        (x,) = ctx.saved_tensors
        passed: Tensor = grads[0] * (x.abs() <= 1).to(grads[0].dtype)
        return passed


def approx_sign(x: Tensor) -> Tensor:
    """Sign forward; backward the derivative of Bi-Real Net's piecewise polynomial, max(0, 2 - 2|x|).

    Liu et al. 2018, Bi-Real Net, arXiv 1808.00278, eq. 8. Written with ordinary operations: compilers see through it.
    """
    clipped = x.clamp(-1.0, 1.0)
    polynomial = clipped * (2.0 - clipped.abs())
    hard = torch.where(x >= 0, 1.0, -1.0).to(x.dtype)
    return (hard - polynomial).detach() + polynomial


def round_ste(x: Tensor) -> Tensor:
    """Round half to even; the gradient passes unchanged."""
    return (x.round() - x).detach() + x


def binary_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (OC, IC, KH, KW) as signs, and one positive scale per output channel, mean |w| (OC, 1, 1).

    Rastegari et al. 2016, XNOR-Net, arXiv 1603.05279, eq. 6. The sign's gradient passes where |w| <= 1.
    """
    clipped = weight.clamp(-1.0, 1.0)
    hard = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)
    return (hard - clipped).detach() + clipped, weight.abs().mean(dim=(1, 2, 3)).reshape(-1, 1, 1)


def dorefa_weight(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Weights as odd whole numbers in [-(2^k-1), 2^k-1], and their common scale 1/(2^k-1).

    w_q = 2 * round((2^k-1) * (tanh w / (2 max|tanh w|) + 1/2)) - (2^k-1)
    (Zhou et al. 2016, DoReFa-Net, arXiv 1606.06160, eq. 9, scaled to whole numbers).
    """
    top = 2**bits - 1
    squashed = torch.tanh(weight)
    unit = squashed / (2.0 * squashed.abs().max().clamp_min(1e-8)) + 0.5
    return 2.0 * round_ste(unit * top) - top, weight.new_tensor(1.0 / top)


def int8_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights as whole numbers in [-127, 127], and one scale per output channel, max|w| / 127 (OC, 1, 1)."""
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8) / 127.0
    return round_ste(weight / step), step.reshape(-1, 1, 1)


class RSign(nn.Module):
    """Sign with a learned threshold per channel (Liu et al. 2020, ReActNet, arXiv 2003.03488, eq. 5).

    Forward: +1 where x >= threshold[c], else -1. Backward: `approx_sign`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) float -> the same shape of -1 and +1."""
        return approx_sign(x - self.threshold.reshape(1, -1, 1, 1))


class RPReLU(nn.Module):
    """PReLU shifted on both sides, per channel (ReActNet, arXiv 2003.03488, eq. 6).

    y = x - shift_in; y = y where y > 0, else slope * y; y + shift_out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift_in = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.shift_out = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) float -> the same shape."""
        y = x - self.shift_in.reshape(1, -1, 1, 1)
        return torch.where(y > 0, y, self.slope.reshape(1, -1, 1, 1) * y) + self.shift_out.reshape(1, -1, 1, 1)


class ClippedLevels(nn.Module):
    """k-bit activations: clip to [0, alpha], then round to 2^k-1 steps; alpha is learned.

    DoReFa's activation quantizer (arXiv 1606.06160, eq. 11) with PACT's learned clip (Choi et al. 2018,
    arXiv 1805.06085, eq. 1). Clipping comes first: without it k-bit codes need more than k bits.
    """

    def __init__(self, bits: int, alpha: float = 2.0) -> None:
        super().__init__()
        self.bits = bits
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    @property
    def top(self) -> int:
        """The highest level, 2^bits - 1."""
        return int(2**self.bits - 1)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) float -> the same shape, values level * alpha / (2^bits - 1)."""
        alpha = self.alpha.clamp_min(1e-3)
        clipped = torch.minimum(x.clamp_min(0.0), alpha)
        return round_ste(clipped * (self.top / alpha)) * (alpha / self.top)
