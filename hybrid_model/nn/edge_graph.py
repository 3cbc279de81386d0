"""The edge half of a trained network as a list of operations on arrays: what the torch-free engine runs.

Batch norm is folded in float64. A binary convolution that nothing but a sign reads becomes integer thresholds; with a
float shortcut or an exit behind it, it keeps a float32 scale and bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hybrid_model.nn.layers import (
    BasicUnit,
    BiRealUnit,
    Cut,
    ExitHead,
    PlainUnit,
    QuantConv2d,
    Shortcut,
)
from hybrid_model.nn.network import HybridNetwork
from hybrid_model.nn.quantizers import ClippedLevels, RPReLU, RSign

Array = NDArray[Any]
Op = dict[str, Any]

#: Beyond any sum that a convolution can reach: always / never.
_FAR = 2**30


def pack_channels(signs: Array) -> Array:
    """(KH, KW, OC, IC) of +-1 -> (KH, KW, OC, words) uint32, bit = +1, least significant bit first."""
    *lead, inputs = signs.shape
    words = -(-inputs // 32)
    bits = np.zeros((*lead, words * 32), dtype=np.uint8)
    bits[..., :inputs] = signs > 0
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").reshape(*lead, words)


def fold_norm(scale: Array, norm: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Convolution scale (OC) and batch norm -> one scale and bias (OC), float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gamma, beta = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    mean, var = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    gain = gamma / np.sqrt(var + norm.eps)
    return scale * gain, beta - mean * gain


def integer_thresholds(scale: Array, bias: Array) -> Array:
    """The int32 (OC) for which dot >= it is dot * scale + bias >= 0, scale >= 0; at a scale of 0 always or never."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.ceil(-bias / scale)
    constant = np.where(bias >= 0, -_FAR, _FAR)
    return np.where(scale > 0, np.clip(np.nan_to_num(exact), -_FAR, _FAR), constant).astype(np.int32)


class _Builder:
    """Operations and tensors so far; names are handed out in order."""

    def __init__(self, network: HybridNetwork) -> None:
        self.network = network
        self.ops: list[Op] = []
        self.tensors: dict[str, Array] = {}
        self.stage = 0

    def add(self, op: str, inputs: list[str], params: dict[str, Array] | None = None, **attributes: Any) -> str:
        number = len(self.ops)
        out = attributes.pop("out", f"t{number}")
        names = {}
        for role, array in (params or {}).items():
            names[role] = f"{number}.{role}"
            self.tensors[names[role]] = np.ascontiguousarray(array)
        entry: Op = {"op": op, "in": inputs, "out": out, "stage": self.stage, **attributes}
        if names:
            entry["params"] = names
        self.ops.append(entry)
        return str(out)

    def convolution(
        self, x: str, conv: QuantConv2d, norm: nn.BatchNorm2d, quant: nn.Module | None, *, to_bits: bool = False
    ) -> str:
        """Activation quantizer, convolution, batch norm -> a float32 tensor, or bits where `to_bits`."""
        weight, step = conv.quantized()
        whole = weight.detach().permute(2, 3, 1, 0).double().numpy()  # KH, KW, IC, OC
        base = np.broadcast_to(step.detach().double().numpy().reshape(-1), (whole.shape[3],))
        scale, bias = fold_norm(base, norm)
        place = {"stride": list(conv.stride), "padding": list(conv.padding)}
        if conv.weight_bits == 32:
            x = self._quantize(x, quant) if quant is not None else x
            params: dict[str, Array] = {"weight": (whole * scale).astype(np.float32), "bias": bias.astype(np.float32)}
            return self.add("conv_float", [x], params, **place)
        bits = 1 if not isinstance(quant, ClippedLevels) else quant.bits
        x = self._quantize(x, quant)
        if conv.weight_bits == 1 and bits == 1:
            return self._binary(x, whole, scale, bias, place, to_bits=to_bits)
        if bits == 1 or not isinstance(quant, ClippedLevels):
            raise ValueError(f"no edge operation for {conv.weight_bits}-bit weights on {bits}-bit activations")
        scale = scale * (float(quant.alpha.clamp_min(1e-3)) / quant.top)
        params = {
            "weight": whole.astype(np.int8),
            "scale": scale.astype(np.float32),
            "bias": bias.astype(np.float32),
        }
        return self.add("conv_kbit", [x], params, weight_bits=conv.weight_bits, activation_bits=bits, **place)

    def _binary(self, x: str, whole: Array, scale: Array, bias: Array, place: Op, *, to_bits: bool) -> str:
        flip = np.where(scale < 0, -1.0, 1.0)
        packed = pack_channels((whole * flip).transpose(0, 1, 3, 2))
        place = {**place, "in_channels": int(whole.shape[2])}
        if to_bits:
            params = {"weight": packed, "threshold": integer_thresholds(scale * flip, bias)}
            return self.add("conv_binary", [x], params, epilogue="bits", **place)
        params = {"weight": packed, "scale": (scale * flip).astype(np.float32), "bias": bias.astype(np.float32)}
        return self.add("conv_binary", [x], params, epilogue="float", **place)

    def _quantize(self, x: str, quant: nn.Module | None) -> str:
        if isinstance(quant, nn.Identity) or quant is None:
            return x
        if self._kind_of(x) == "bits":
            return x
        if isinstance(quant, ClippedLevels):
            return self.add("quantize", [x], bits=quant.bits, gain=gain_of(quant))
        channels = self._channels_of(x)
        threshold = quant.threshold.detach().numpy() if isinstance(quant, RSign) else np.zeros(channels)
        return self.add("binarize", [x], {"threshold": threshold.astype(np.float32)})

    def _kind_of(self, name: str) -> str:
        op = next(o for o in reversed(self.ops) if o["out"] == name)
        if op["op"] == "max_pool":
            return self._kind_of(op["in"][0])
        return "bits" if op["op"] == "binarize" or op.get("epilogue") == "bits" else "float"

    def _channels_of(self, name: str) -> int:
        op = next(o for o in reversed(self.ops) if o["out"] == name)
        if "params" in op and "bias" in op["params"]:
            return int(self.tensors[op["params"]["bias"]].shape[0])
        return self._channels_of(op["in"][0]) * int(op.get("times", 1))

    def stem(self) -> str:
        stem, arch = self.network.stem, self.network.architecture
        weight, step = stem.conv.quantized()
        whole = weight.detach().permute(2, 3, 1, 0).double().numpy()
        base = np.broadcast_to(step.detach().double().numpy().reshape(-1), (whole.shape[3],))
        place = {"stride": list(stem.conv.stride), "padding": list(stem.conv.padding)}
        if stem.conv.weight_bits == 8:
            scale, bias = fold_norm(base * arch.scale[0], stem.norm)
            params: dict[str, Array] = {
                "zero_point": np.array(arch.zero_point, dtype=np.int16),
                "weight": whole.astype(np.int8),
                "scale": scale.astype(np.float32),
                "bias": bias.astype(np.float32),
            }
            x = self.add("conv_int8", ["input"], params, **place)
        else:
            params = {
                "zero_point": np.array(arch.zero_point, dtype=np.float32),
                "scale": np.array(arch.scale, dtype=np.float32),
            }
            x = self.convolution(self.add("normalize", ["input"], params), stem.conv, stem.norm, None)
        return self.add("relu", [x]) if stem.rectify else x

    def shortcut(self, x: str, shortcut: Shortcut) -> str:
        if shortcut.stride != (1, 1):
            window = list(shortcut.stride)
            x = self.add("avg_pool", [x], kernel=window, stride=window)
        if shortcut.conv is not None and shortcut.norm is not None:
            x = self.convolution(x, shortcut.conv, shortcut.norm, None)
        return x if shortcut.times == 1 else self.add("repeat", [x], times=shortcut.times)

    def around(
        self, x: str, shortcut: Shortcut, y: str, conv: QuantConv2d, norm: nn.BatchNorm2d, quant: nn.Module
    ) -> str:
        """Convolution of y plus the shortcut of x. A shortcut without parameters stands first: the engine reads it
        while it finishes the convolution's rows, and the convolution's own map is never stored."""
        if shortcut.conv is None:
            way = self.shortcut(x, shortcut)
            return self.add("add", [self.convolution(y, conv, norm, quant), way])
        y = self.convolution(y, conv, norm, quant)
        return self.add("add", [y, self.shortcut(x, shortcut)])

    def unit(self, x: str, unit: nn.Module, *, to_bits: bool) -> str:
        if isinstance(unit, PlainUnit):
            return self._plain(x, unit, to_bits=to_bits)
        if isinstance(unit, BiRealUnit):
            return self._rprelu(self.around(x, unit.shortcut, x, unit.conv, unit.norm, unit.quant), unit.act)
        assert isinstance(unit, BasicUnit)
        inner_bits = not unit.rectify and unit.conv2.weight_bits == 1
        y = self.convolution(x, unit.conv1, unit.norm1, unit.quant1, to_bits=inner_bits)
        if unit.rectify:
            y = self.add("relu", [y])
        y = self.around(x, unit.shortcut, y, unit.conv2, unit.norm2, unit.quant2)
        return self.add("relu", [y]) if unit.rectify else y

    def _plain(self, x: str, unit: PlainUnit, *, to_bits: bool) -> str:
        y = self.convolution(x, unit.conv, unit.norm, unit.quant, to_bits=to_bits)
        if unit.rectify:
            y = self.add("relu", [y])
        if unit.pool is not None:
            y = self.add("max_pool", [y], kernel=list(unit.pool), stride=list(unit.pool))
        return y

    def _rprelu(self, x: str, act: RPReLU) -> str:
        params = {
            role: getattr(act, role).detach().numpy().astype(np.float32) for role in ("shift_in", "slope", "shift_out")
        }
        return self.add("rprelu", [x], params)

    def exit(self, x: str, head: ExitHead, number: int) -> None:
        window = list(head.pool)
        pooled = self.add("avg_pool", [x], kernel=window, stride=window)
        params = {
            "weight": head.linear.weight.detach().numpy().T.astype(np.float32),
            "bias": head.linear.bias.detach().numpy().astype(np.float32),
        }
        logits = self.add("linear", [pooled], params)
        self.add("exit", [logits], out=f"exit{number}", exit=number)

    def cut(self, x: str, cut: Cut) -> None:
        if cut.bits == 32:
            raise ValueError("no edge operation for a cut at 32 bits: a full-precision twin is not divided")
        if cut.conv is not None and cut.norm is not None:
            x = self.convolution(x, cut.conv, cut.norm, None)
        if isinstance(cut.quant, ClippedLevels):
            self.add("cut", [x], out="codes", bits=cut.bits, gain=gain_of(cut.quant))
            return
        assert isinstance(cut.quant, RSign)
        threshold = cut.quant.threshold.detach().numpy().astype(np.float32)
        self.add("cut", [x], {"threshold": threshold}, out="codes", bits=1)


def gain_of(quant: ClippedLevels) -> float:
    """(2^bits - 1) / alpha, rounded to float32."""
    return float(np.float32(quant.top / float(quant.alpha.detach().clamp_min(1e-3))))


def _reads_signs_only(unit: nn.Module) -> bool:
    return isinstance(unit, PlainUnit) and not unit.rectify and unit.conv.weight_bits == 1


@torch.no_grad()
def edge_graph(network: HybridNetwork) -> tuple[list[Op], dict[str, Array]]:
    """Operations in execution order and the arrays that they name, from a network in evaluation mode on the CPU.

    Raises ValueError for bit widths that the edge engine has no operation for.
    """
    build = _Builder(network)
    arch = network.architecture
    heads = {spec.after: number for number, spec in enumerate(arch.exits)}
    x = build.stem()
    for number, unit in enumerate(network.edge, start=1):
        following = network.edge[number] if number < len(network.edge) else None
        to_bits = following is not None and number not in heads and _reads_signs_only(following)
        x = build.unit(x, unit, to_bits=to_bits and _reads_signs_only(unit))
        if number in heads:
            head = network.exits[heads[number]]
            assert isinstance(head, ExitHead)
            build.exit(x, head, heads[number])
            build.stage += 1
    build.cut(x, network.cut)
    return build.ops, build.tensors
