"""The layers of a hybrid network as a table: where each runs, its multiply-accumulates, parameters and bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hybrid_model.nn.layers import QuantConv2d
from hybrid_model.nn.network import HybridNetwork


def _place(network: HybridNetwork, name: str) -> tuple[int | str, str]:
    """Stage ("cloud", or the number of the exit that first needs the layer) and role of the layer called `name`."""
    arch = network.architecture
    part, *rest = name.split(".")
    if part in ("cloud", "classifier"):
        return "cloud", "backbone"
    if part == "cut":
        return len(arch.exits), "cut"
    if part == "exits":
        return int(rest[0]), "exit"
    units_before = 0 if part == "stem" else int(rest[0])
    return sum(1 for e in arch.exits if e.after <= units_before), "backbone"


def _bits(network: HybridNetwork, name: str, module: nn.Module) -> tuple[int, int]:
    """Weight and activation bits of a layer. An 8-bit stem takes the input's own 8 bits."""
    if not isinstance(module, QuantConv2d) or module.weight_bits == 32:
        return 32, 32
    if name == "stem.conv":
        return module.weight_bits, 8
    number = int(name.split(".")[1]) + (network.architecture.cut.after if name.startswith("cloud.") else 0)
    return module.weight_bits, network.architecture.units[number].activation_bits


@torch.no_grad()
def layer_table(network: HybridNetwork) -> list[dict[str, Any]]:
    """One row per convolution and linear layer, in the order in which they run.

    Keys: name, stage (int | "cloud"), role (backbone | exit | cut), kind, macs (per sample), params, weight_bits,
    activation_bits, inputs and outputs (values read and written per sample).
    """
    rows: list[dict[str, Any]] = []
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def note(_: nn.Module, taken: tuple[Tensor, ...], output: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            positions = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
            stage, role = _place(network, name)
            weight_bits, activation_bits = _bits(network, name, module)
            rows.append(
                {
                    "name": name,
                    "stage": stage,
                    "role": role,
                    "kind": "conv" if isinstance(module, QuantConv2d) else "linear",
                    "macs": int(weight.numel() * positions),
                    "params": int(weight.numel()),
                    "weight_bits": weight_bits,
                    "activation_bits": activation_bits,
                    "inputs": int(taken[0].numel()),
                    "outputs": int(output.numel()),
                }
            )

        handles.append(module.register_forward_hook(note))

    for name, module in network.named_modules():
        if isinstance(module, QuantConv2d | nn.Linear):
            watch(name, module)
    was = network.training
    network.eval()
    h, w, c = network.architecture.input_shape
    device = next(network.parameters()).device
    network(torch.zeros(1, c, h, w, device=device))
    network.train(was)
    for handle in handles:
        handle.remove()
    return rows
