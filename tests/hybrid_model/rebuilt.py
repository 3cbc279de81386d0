"""The torch network of a bundle: edge tensors put back into `HybridNetwork`, so that both can be asked the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from hybrid_model.bundle import Bundle, Op
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.layers import BasicUnit, BiRealUnit, PlainUnit, QuantConv2d, Shortcut
from hybrid_model.nn.quantizers import ClippedLevels, RSign
from hybrid_model.runtime.packing import unpack_words

WITHOUT_PARAMETERS = ("add", "relu", "avg_pool", "max_pool", "repeat", "exit")


class _Reader:
    """The graph's operations with parameters, in the order in which the exporter wrote them."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.ops: Iterator[Op] = (op for op in bundle.manifest.edge_graph if op.op not in WITHOUT_PARAMETERS)

    def next(self, *kinds: str) -> tuple[Op, dict[str, np.ndarray]]:
        op = next(self.ops)
        assert op.op in kinds, f"{op.op} stands where {kinds} was expected"
        return op, {role: self.bundle.edge[name] for role, name in op.params.items()}

    def quantizer(self, quant: nn.Module) -> None:
        if isinstance(quant, ClippedLevels):
            op, _ = self.next("quantize", "cut")
            quant.alpha.data.fill_(quant.top / op.gain)
            return
        _, params = self.next("binarize", "cut")
        if isinstance(quant, RSign):
            quant.threshold.data.copy_(torch.from_numpy(params["threshold"]))

    def convolution(
        self, conv: QuantConv2d, norm: nn.BatchNorm2d, gain: float = 1.0, quant: nn.Module | None = None
    ) -> None:
        """`gain`: what the bundle's scale holds of the input's own; levels of `quant` and their weights add theirs."""
        op, params = self.next("conv_int8", "conv_float", "conv_binary", "conv_kbit")
        if op.op == "conv_binary":
            signs = np.where(unpack_words(params["weight"], op.in_channels), 1.0, -1.0)  # KH, KW, OC, IC
            weight = signs.transpose(2, 3, 0, 1)
        else:
            weight = params["weight"].transpose(3, 2, 0, 1)
        if op.op == "conv_kbit":
            assert isinstance(quant, ClippedLevels)
            gain = quant.alpha.item() / quant.top
            if conv.weight_bits in (2, 4):  # the weights whose DoReFa levels these are
                top = 2**conv.weight_bits - 1
                weight, gain = np.arctanh(0.5 * weight.astype(np.float64) / top), gain / top
        conv.weight.data.copy_(torch.from_numpy(weight.astype(np.float32)))
        if "threshold" in params:
            scale, bias = np.ones(len(params["threshold"])), 0.5 - params["threshold"]
        else:
            scale, bias = params.get("scale", np.ones(len(params["bias"]))), params["bias"]
        norm.weight.data.copy_(torch.from_numpy(np.asarray(scale / gain, dtype=np.float32)))
        norm.bias.data.copy_(torch.from_numpy(np.asarray(bias, dtype=np.float32)))
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.eps = 0.0

    def shortcut(self, shortcut: Shortcut) -> None:
        if shortcut.conv is not None:
            self.convolution(shortcut.conv, shortcut.norm)


def rebuild(bundle: Bundle) -> HybridNetwork:
    """`bundle` (with its cloud tensors) as a torch network in evaluation mode."""
    arch = Architecture.model_validate(bundle.manifest.architecture)
    network = HybridNetwork(arch)
    state = {name: torch.from_numpy(np.array(array)) for name, array in bundle.cloud.items()}
    network.load_state_dict(state, strict=False)
    read = _Reader(bundle)
    if arch.stem.weight_bits == 8:
        read.convolution(network.stem.conv, network.stem.norm, gain=arch.scale[0])
    else:
        read.next("normalize")
        read.convolution(network.stem.conv, network.stem.norm)
    heads = {spec.after: number for number, spec in enumerate(arch.exits)}
    signs_ready = False
    for number, unit in enumerate(network.edge, start=1):
        if isinstance(unit, BiRealUnit):
            read.quantizer(unit.quant)
            read.convolution(unit.conv, unit.norm, quant=unit.quant)
            read.shortcut(unit.shortcut)
            _, params = read.next("rprelu")
            for role, array in params.items():
                getattr(unit.act, role).data.copy_(torch.from_numpy(array))
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
            _, params = read.next("linear")
            head = network.exits[heads[number]]
            head.linear.weight.data.copy_(torch.from_numpy(params["weight"].T.copy()))
            head.linear.bias.data.copy_(torch.from_numpy(params["bias"]))
    if network.cut.conv is not None:
        read.convolution(network.cut.conv, network.cut.norm)
    read.quantizer(network.cut.quant)
    return network.eval()
