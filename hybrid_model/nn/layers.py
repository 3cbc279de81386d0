"""Quantized convolutions, the three kinds of unit that backbones repeat, and the exit head."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hybrid_model.nn.architecture import CutSpec, Pair, UnitSpec
from hybrid_model.nn.quantizers import (
    ClippedLevels,
    RPReLU,
    RSign,
    SignSTE,
    binary_weight,
    dorefa_weight,
    int8_weight,
)


class QuantConv2d(nn.Module):
    """A convolution without bias whose weights are quantized to `weight_bits` on the way forward.

    The convolution runs on whole-number weights and is scaled afterwards, so that with +-1 inputs every sum is exact.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair, padding: Pair, weight_bits: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.stride, self.padding, self.weight_bits = stride, padding, weight_bits

    def quantized(self) -> tuple[Tensor, Tensor]:
        """Whole-number weights (OC, IC, KH, KW) and their scale (OC, 1, 1) or (); at 32 bits the weights and 1."""
        if self.weight_bits == 32:
            return self.weight, self.weight.new_tensor(1.0)
        if self.weight_bits == 8:
            return int8_weight(self.weight)
        if self.weight_bits == 1:
            return binary_weight(self.weight)
        return dorefa_weight(self.weight, self.weight_bits)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, IC, H, W) float -> (N, OC, OH, OW) float."""
        weight, scale = self.quantized()
        y = F.conv2d(x, weight, stride=self.stride, padding=self.padding)
        return y if self.weight_bits == 32 else y * scale

    def extra_repr(self) -> str:
        """Shapes and bits, for `print(network)`."""
        oc, ic, kh, kw = self.weight.shape
        return f"{ic}, {oc}, kernel=({kh}, {kw}), stride={self.stride}, weight_bits={self.weight_bits}"


class Sign(nn.Module):
    """`SignSTE` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """X of any shape -> -1 and +1."""
        y: Tensor = SignSTE.apply(x)  # type: ignore[no-untyped-call]
        return y


def activation_quantizer(bits: int, channels: int, *, learned_threshold: bool = False) -> nn.Module:
    """What stands in front of a convolution: identity at 32 bits, a sign at 1, clipped levels between."""
    if bits == 32:
        return nn.Identity()
    if bits == 1:
        return RSign(channels) if learned_threshold else Sign()
    return ClippedLevels(bits)


class Shortcut(nn.Module):
    """The way around a unit: average pooling where it strides, and where it widens what the unit's `shortcut` says.

    `projection`: a full-precision 1x1 convolution; `repeat`: the channels again, `times` in all, so that channel c of
    the output is channel c modulo `inputs`. Raises ValueError where the channels cannot be repeated a whole number of
    times.
    """

    def __init__(self, inputs: int, spec: UnitSpec) -> None:
        super().__init__()
        outputs = spec.channels
        self.stride = spec.stride
        self.times = 1
        self.conv: QuantConv2d | None = None
        self.norm: nn.BatchNorm2d | None = None
        if spec.shortcut == "repeat":
            if outputs % inputs:
                raise ValueError(f"{inputs} channels cannot be repeated to {outputs}: widen by a whole factor")
            self.times = outputs // inputs
        elif inputs != outputs:
            self.conv = QuantConv2d(inputs, outputs, (1, 1), (1, 1), (0, 0), 32)
            self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, IC, H, W) -> (N, OC, H / stride, W / stride)."""
        if self.stride != (1, 1):
            x = F.avg_pool2d(x, self.stride, self.stride)
        if self.conv is not None and self.norm is not None:
            x = self.norm(self.conv(x))
        return x if self.times == 1 else torch.cat([x] * self.times, dim=1)


def _same(kernel: Pair) -> Pair:
    return kernel[0] // 2, kernel[1] // 2


def _rectifies(bits: int) -> bool:
    """Behind a ReLU every sign is +1: one-bit units do without it."""
    return bits != 1


class BasicUnit(nn.Module):
    """Two convolutions and a shortcut around both; each convolution behind its activation quantizer."""

    def __init__(self, inputs: int, spec: UnitSpec) -> None:
        super().__init__()
        c, k, p, bits = spec.channels, spec.kernel, _same(spec.kernel), spec.activation_bits
        self.quant1 = activation_quantizer(bits, inputs)
        self.conv1 = QuantConv2d(inputs, c, k, spec.stride, p, spec.weight_bits)
        self.norm1 = nn.BatchNorm2d(c)
        self.quant2 = activation_quantizer(bits, c)
        self.conv2 = QuantConv2d(c, c, k, (1, 1), p, spec.weight_bits)
        self.norm2 = nn.BatchNorm2d(c)
        self.shortcut = Shortcut(inputs, spec)
        self.rectify = _rectifies(bits)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, IC, H, W) -> (N, OC, OH, OW)."""
        y = self.norm1(self.conv1(self.quant1(x)))
        if self.rectify:
            y = F.relu(y)
        y = self.norm2(self.conv2(self.quant2(y))) + self.shortcut(x)
        return F.relu(y) if self.rectify else y


class BiRealUnit(nn.Module):
    """RSign (at 2 to 8 bits `ClippedLevels`), one convolution with its own shortcut, RPReLU."""

    def __init__(self, inputs: int, spec: UnitSpec) -> None:
        super().__init__()
        c = spec.channels
        self.quant = activation_quantizer(spec.activation_bits, inputs, learned_threshold=True)
        self.conv = QuantConv2d(inputs, c, spec.kernel, spec.stride, _same(spec.kernel), spec.weight_bits)
        self.norm = nn.BatchNorm2d(c)
        self.shortcut = Shortcut(inputs, spec)
        self.act = RPReLU(c)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, IC, H, W) -> (N, OC, OH, OW)."""
        y: Tensor = self.act(self.norm(self.conv(self.quant(x))) + self.shortcut(x))
        return y


class PlainUnit(nn.Module):
    """One convolution without a shortcut, and a max pooling where asked for."""

    def __init__(self, inputs: int, spec: UnitSpec) -> None:
        super().__init__()
        self.quant = activation_quantizer(spec.activation_bits, inputs)
        self.conv = QuantConv2d(inputs, spec.channels, spec.kernel, spec.stride, _same(spec.kernel), spec.weight_bits)
        self.norm = nn.BatchNorm2d(spec.channels)
        self.rectify = _rectifies(spec.activation_bits)
        self.pool = spec.pool

    def forward(self, x: Tensor) -> Tensor:
        """X (N, IC, H, W) -> (N, OC, OH, OW)."""
        y: Tensor = self.norm(self.conv(self.quant(x)))
        if self.rectify:
            y = F.relu(y)
        return y if self.pool is None else F.max_pool2d(y, self.pool, self.pool)


Unit = BasicUnit | BiRealUnit | PlainUnit


def build_unit(inputs: int, spec: UnitSpec) -> Unit:
    """The module for a unit's specification."""
    kinds: dict[str, type[Unit]] = {"basic": BasicUnit, "bireal": BiRealUnit, "plain": PlainUnit}
    return kinds[spec.kind](inputs, spec)


class ExitHead(nn.Module):
    """Average pooling (`None`: over the whole map), then a full-precision linear layer.

    Features are flattened in (H, W, C) order, as the edge engine keeps them.
    """

    def __init__(self, shape: tuple[int, int, int], pool: Pair | None, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        h, w, c = shape
        self.pool = pool or (h, w)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear((h // self.pool[0]) * (w // self.pool[1]) * c, classes)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) -> logits (N, classes)."""
        pooled = F.avg_pool2d(x, self.pool, self.pool).permute(0, 2, 3, 1).flatten(1)
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class Cut(nn.Module):
    """What crosses from edge to cloud: an optional 1x1 bottleneck, then a 1- to 4-bit quantizer.

    The cloud half is trained on exactly what the wire carries: -1 and +1 at one bit, else level * alpha / (2^bits - 1).
    A full-precision twin's cut (32 bits) quantizes nothing.
    """

    def __init__(self, inputs: int, spec: CutSpec) -> None:
        super().__init__()
        self.bits = spec.bits
        self.conv: QuantConv2d | None = None
        self.norm: nn.BatchNorm2d | None = None
        if spec.channels is not None:
            self.conv = QuantConv2d(inputs, spec.channels, (1, 1), (1, 1), (0, 0), 32)
            self.norm = nn.BatchNorm2d(spec.channels)
        self.channels = spec.channels or inputs
        self.quant = activation_quantizer(spec.bits, self.channels, learned_threshold=True)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) -> what the cloud half receives, (N, channels, H, W) float."""
        if self.conv is not None and self.norm is not None:
            x = self.norm(self.conv(x))
        y: Tensor = self.quant(x)
        return y

    def dequantize(self, codes: Tensor) -> Tensor:
        """Codes (N, h, w, c) uint8 as they travel -> (N, c, h, w) float32 as the cloud half takes them."""
        values = codes.permute(0, 3, 1, 2).float()
        if self.bits == 1:
            return values * 2.0 - 1.0
        assert isinstance(self.quant, ClippedLevels)
        return values * (self.quant.alpha.clamp_min(1e-3) / self.quant.top)
