"""What a layer costs, in one of two views."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from hybrid_model.energy.prices import WIFI, Radio, mac_energy_j, memory_energy_j


class LayerCost(Protocol):
    """What this package reads of a layer; `hybrid_model.bundle.Layer` is one."""

    @property
    def name(self) -> str:
        """As in the network: `stem.conv`, `edge.3.shortcut.conv`, ..."""

    @property
    def stage(self) -> int | Literal["cloud"]:
        """Edge stage 0.., or "cloud"."""

    @property
    def role(self) -> str:
        """`backbone`, `exit` or `cut`."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""

    @property
    def params(self) -> int:
        """Weights."""

    @property
    def weight_bits(self) -> int:
        """Bits of a weight."""

    @property
    def activation_bits(self) -> int:
        """Bits of an input value."""

    @property
    def inputs(self) -> int | None:
        """Values read per sample; None where it is not known."""

    @property
    def outputs(self) -> int | None:
        """Values written per sample; None where it is not known."""


@dataclass(frozen=True)
class View:
    """What is counted: multiply-accumulates always, memory accesses and the bytes sent where so chosen."""

    name: Literal["mac", "full"]
    radio: Radio | None

    def sending_j(self, sent_bytes: float) -> float:
        """Joules of bytes sent; 0 where the view counts no radio."""
        return 0.0 if self.radio is None else self.radio.energy_j(sent_bytes)


def full_view(radio: Radio) -> View:
    """The view `full` with another radio."""
    return View("full", radio)


MAC = View("mac", None)
FULL = full_view(WIFI)


def has_traffic(layers: Iterable[LayerCost]) -> bool:
    """Whether all layers say how many values they read and write, which the view `full` needs."""
    return all(layer.inputs is not None and layer.outputs is not None for layer in layers)


def layer_energy_j(layer: LayerCost, view: View = MAC) -> float:
    """Joules of one layer for one sample. Raises ValueError in the view `full` for a layer without inputs, outputs."""
    joules = mac_energy_j(layer.macs, layer.weight_bits, layer.activation_bits)
    if view.name == "mac":
        return joules
    if layer.inputs is None or layer.outputs is None:
        raise ValueError(
            f"layer {layer.name} does not say how many values it reads and writes; export its bundle again"
        )
    return joules + memory_energy_j(layer.params, layer.weight_bits, layer.inputs, layer.activation_bits, layer.outputs)
