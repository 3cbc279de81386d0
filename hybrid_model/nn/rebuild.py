"""The torch network of a bundle: edge tensors put back into `HybridNetwork`.

What it computes is what the bundle computes, up to float roundings. What the bundle does not hold is made up: latent
weights lie in the middle of their levels, and batch norms have folded scales and biases, with statistics of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hybrid_model.bundle import Bundle, Op
from hybrid_model.bundle.ops import ConvBinary, CutOp, Quantize
from hybrid_model.nn.architecture import Architecture
from hybrid_model.nn.layers import BasicUnit, BiRealUnit, ExitHead, PlainUnit, QuantConv2d, Shortcut
from hybrid_model.nn.network import HybridNetwork
from hybrid_model.nn.quantizers import ClippedLevels, RSign
from hybrid_model.runtime.packing import unpack_words

#: Latent weights of DoReFa's levels, as a share of tanh's range: small, so that scaling all of them moves no level.
_NEAR_LINEAR = 0.05
_WITHOUT_PARAMETERS = ("add", "relu", "avg_pool", "max_pool", "repeat", "exit")


class _Reader:
    """The graph's operations with parameters, in the order in which the exporter wrote them."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.ops: Iterator[Op] = (op for op in bundle.manifest.edge_graph if op.op not in _WITHOUT_PARAMETERS)

    def following(self, *kinds: str) -> tuple[Op, dict[str, NDArray[Any]]]:
        op = next(self.ops)
        if op.op not in kinds:
            raise ValueError(f"{op.op} stands where {' or '.join(kinds)} was expected")
        return op, {role: self.bundle.edge[name] for role, name in op.params.items()}

    def quantizer(self, quant: nn.Module) -> None:
        if isinstance(quant, ClippedLevels):
            op, _ = self.following("quantize", "cut")
            if not isinstance(op, Quantize | CutOp) or op.gain is None:
                raise ValueError(f"{op.out} has no gain")
            quant.alpha.fill_(quant.top / op.gain)
            return
        _, params = self.following("binarize", "cut")
        if isinstance(quant, RSign):
            quant.threshold.copy_(torch.from_numpy(params["threshold"]))

    def convolution(
        self, conv: QuantConv2d, norm: nn.BatchNorm2d | None, gain: float = 1.0, quant: nn.Module | None = None
    ) -> None:
        """`gain`: what the bundle's scale holds of the input's own; levels of `quant` and their weights add theirs."""
        op, params = self.following("conv_int8", "conv_float", "conv_binary", "conv_kbit")
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        if isinstance(op, ConvBinary):
            signs = np.where(unpack_words(params["weight"], op.in_channels), 1.0, -1.0)  # KH, KW, OC, IC
            weight = signs.transpose(2, 3, 0, 1)
        else:
            weight = params["weight"].transpose(3, 2, 0, 1)
        if op.op == "conv_kbit":
            assert isinstance(quant, ClippedLevels)
            gain = quant.alpha.item() / quant.top
            if conv.weight_bits in (2, 4):  # the weights whose DoReFa levels these are
                top = 2**conv.weight_bits - 1
                weight, gain = np.arctanh(_NEAR_LINEAR * weight.astype(np.float64) / top), gain / top
        conv.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        if "threshold" in params:
            scale, bias = np.ones(len(params["threshold"])), 0.5 - params["threshold"]
        else:
            scale, bias = params.get("scale", np.ones(len(params["bias"]))), params["bias"]
        norm.weight.copy_(torch.from_numpy(np.asarray(scale / gain, dtype=np.float32)))
        norm.bias.copy_(torch.from_numpy(np.asarray(bias, dtype=np.float32)))
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.eps = 0.0

    def shortcut(self, shortcut: Shortcut) -> None:
        if shortcut.conv is not None:
            self.convolution(shortcut.conv, shortcut.norm)


@torch.no_grad()
def rebuild(bundle: Bundle) -> HybridNetwork:
    """`bundle` (with its cloud tensors) as a torch network in evaluation mode.

    Raises ValueError for a bundle whose graph is not the one that its architecture gives.
    """
    arch = Architecture.model_validate(bundle.manifest.architecture)
    network = HybridNetwork(arch)
    state = {name: torch.from_numpy(np.array(array)) for name, array in bundle.cloud.items()}
    network.load_state_dict(state, strict=False)
    read = _Reader(bundle)
    if arch.stem.weight_bits == 8:
        read.convolution(network.stem.conv, network.stem.norm, gain=arch.scale[0])
    else:
        read.following("normalize")
        read.convolution(network.stem.conv, network.stem.norm)
    heads = {spec.after: number for number, spec in enumerate(arch.exits)}
    signs_ready = False
    for number, unit in enumerate(network.edge, start=1):
        if isinstance(unit, BiRealUnit):
            read.quantizer(unit.quant)
            read.convolution(unit.conv, unit.norm, quant=unit.quant)
            read.shortcut(unit.shortcut)
            _, params = read.following("rprelu")
            for role, array in params.items():
                getattr(unit.act, role).copy_(torch.from_numpy(array))
        elif isinstance(unit, PlainUnit):
            if not signs_ready:
                read.quantizer(unit.quant)
            read.convolution(unit.conv, unit.norm, quant=unit.quant)
            following = network.edge[number] if number < len(network.edge) else None
            signs_ready = isinstance(following, PlainUnit) and number not in heads
        else:
            assert isinstance(unit, BasicUnit)
            read.quantizer(unit.quant1)
            read.convolution(unit.conv1, unit.norm1, quant=unit.quant1)
            if unit.rectify:
                read.quantizer(unit.quant2)
            read.convolution(unit.conv2, unit.norm2, quant=unit.quant2)
            read.shortcut(unit.shortcut)
        if number in heads:
            _, params = read.following("linear")
            head = network.exits[heads[number]]
            assert isinstance(head, ExitHead)
            head.linear.weight.copy_(torch.from_numpy(params["weight"].T.copy()))
            head.linear.bias.copy_(torch.from_numpy(params["bias"]))
    if network.cut.conv is not None:
        read.convolution(network.cut.conv, network.cut.norm)
    read.quantizer(network.cut.quant)
    return network.eval()
