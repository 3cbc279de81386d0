"""A cloud half made to be run: batch norms folded into the convolutions, channels last, in float32 or bfloat16.

What it computes is what `HybridNetwork.cloud_half` computes in evaluation mode, up to roundings. In bfloat16 weights
and what passes between layers have 8 significant bits; sums, the last pooling and the classifier are in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hybrid_model.nn.architecture import Pair
from hybrid_model.nn.layers import BasicUnit, QuantConv2d
from hybrid_model.nn.network import HybridNetwork

Precision = Literal["fp32", "bf16"]
#: What becomes of each layer's result.
Rounding = Callable[[Tensor], Tensor]


class FoldedHalf:
    """The cloud half of `network` (in evaluation mode), on the device where that is.

    Args:
        network: A network whose cloud units are basic ones at 32 bits.
        precision: Of weights and activations.
        emulated: Compute in float32 and round to `precision` where the real thing rounds: the same anywhere, and no
            faster than float32.

    Raises:
        LookupError: a unit of the cloud half cannot be folded.
    """

    def __init__(self, network: HybridNetwork, precision: Precision, *, emulated: bool = False) -> None:
        wanted = torch.bfloat16 if precision == "bf16" else torch.float32
        self._dtype = torch.float32 if emulated else wanted
        self._rounded: Rounding | None = (lambda x: x.to(wanted).float()) if emulated else None
        self._units = [self._unit(unit) for unit in network.cloud]
        self._classifier = network.classifier

    def __call__(self, crossed: Tensor) -> Tensor:
        """What crossed the cut (N, c, h, w) float32 -> logits (N, classes) float32."""
        x = crossed.to(self._dtype, memory_format=torch.channels_last)
        if self._rounded is not None:
            x = self._rounded(x)
        for unit in self._units:
            x = unit(x)
        logits: Tensor = self._classifier(x.float())
        return logits

    def _unit(self, unit: nn.Module) -> _Unit:
        if not isinstance(unit, BasicUnit) or not _in_full_precision(unit):
            raise LookupError(f"{type(unit).__name__} is not a basic unit at 32 bits")
        way = unit.shortcut
        return _Unit(
            self._convolution(unit.conv1, unit.norm1),
            self._convolution(unit.conv2, unit.norm2),
            way.stride,
            None if way.conv is None or way.norm is None else self._convolution(way.conv, way.norm),
            way.times,
        )

    def _convolution(self, conv: QuantConv2d, norm: nn.BatchNorm2d) -> _Convolution:
        weight, bias = folded(conv, norm)
        if self._rounded is not None:
            weight, bias = self._rounded(weight), self._rounded(bias)
        weight = weight.to(self._dtype, memory_format=torch.channels_last)
        bias = bias.to(self._dtype)
        if self._rounded is None and weight.device.type == "cpu" and packs():
            return _Packed(weight, bias, conv.stride, conv.padding)
        return _Plain(weight, bias, conv.stride, conv.padding, self._rounded)


def folded(conv: QuantConv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weights (OC, IC, KH, KW) and bias (OC), float32, of a 32-bit convolution with its batch norm in it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight, bias = conv.weight * gain.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * gain
    return weight.detach(), bias.detach()


def _in_full_precision(unit: BasicUnit) -> bool:
    quantizers, convolutions = (unit.quant1, unit.quant2), (unit.conv1, unit.conv2)
    return (
        all(isinstance(quantizer, nn.Identity) for quantizer in quantizers)
        and all(conv.weight_bits == 32 for conv in convolutions)
        and unit.rectify
    )


class _Unit:
    """A basic unit: two convolutions, and a shortcut that is added before the second ReLU."""

    def __init__(
        self, first: _Convolution, second: _Convolution, pool: Pair, widen: _Convolution | None, times: int
    ) -> None:
        self._first, self._second, self._pool, self._widen, self._times = first, second, pool, widen, times

    def __call__(self, x: Tensor) -> Tensor:
        way = x if self._pool == (1, 1) else self._first.rounded(F.avg_pool2d(x, self._pool, self._pool))
        if self._widen is not None:
            way = self._widen(way)
        if self._times > 1:
            way = torch.cat([way] * self._times, dim=1)
        return self._second(self._first(x, relu=True), added=way, relu=True)


class _Convolution:
    """Weights (OC, IC, KH, KW) and bias (OC) of one type."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair) -> None:
        self._weight, self._bias, self._stride, self._padding = weight, bias, stride, padding

    def rounded(self, x: Tensor) -> Tensor:
        """X as a layer of this precision gives it."""
        return x

    def __call__(self, x: Tensor, *, added: Tensor | None = None, relu: bool = False) -> Tensor:
        """X (N, IC, H, W), and what is added before a ReLU (N, OC, OH, OW) -> (N, OC, OH, OW)."""
        raise NotImplementedError


class _Plain(_Convolution):
    def __init__(self, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair, rounded: Rounding | None) -> None:
        super().__init__(weight, bias, stride, padding)
        self._rounded = rounded

    def rounded(self, x: Tensor) -> Tensor:
        return x if self._rounded is None else self._rounded(x)

    def __call__(self, x: Tensor, *, added: Tensor | None = None, relu: bool = False) -> Tensor:
        y = F.conv2d(x, self._weight, self._bias, stride=self._stride, padding=self._padding)
        if added is not None:
            y += added
        return self.rounded(y.relu_() if relu else y)


#: A batch for which oneDNN lays out the weights; others take the same layout.
_LAID_OUT_FOR = 32


class _Packed(_Convolution):
    """oneDNN's convolution with its weights laid out once, and with what follows it in the same pass.

    It is what `torch.compile` makes of a convolution, without a compiler. torch does not document these operations.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair) -> None:
        super().__init__(weight, bias, stride, padding)
        self._laid_out = False

    def __call__(self, x: Tensor, *, added: Tensor | None = None, relu: bool = False) -> Tensor:
        ops: Any = torch.ops.mkldnn
        padding, stride, dilation, groups = list(self._padding), list(self._stride), [1, 1], 1
        if not self._laid_out:
            shape = [_LAID_OUT_FOR, *x.shape[1:]]
            self._weight = ops._reorder_convolution_weight(self._weight, padding, stride, dilation, groups, shape)
            self._laid_out = True
        rest = (self._weight, self._bias, padding, stride, dilation, groups)
        y: Tensor
        if added is None:
            y = ops._convolution_pointwise(x, *rest, "relu" if relu else "none", [], "")
        else:
            y = ops._convolution_pointwise.binary(x, added, *rest, "add", 1.0, "relu" if relu else None, [], "")
        return y


def packs() -> bool:
    """Whether this torch has oneDNN's convolutions with weights laid out beforehand."""
    names = ("_reorder_convolution_weight", "_convolution_pointwise")
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and all(hasattr(torch.ops.mkldnn, name) for name in names)


def computes_bf16(device: torch.device) -> bool:
    """Whether `device` can be expected to be faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not packs():
        return False
    told = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return told is not None and bool(told())
