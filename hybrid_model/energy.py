"""Operations -> joules: what a decision on the edge costs, and what it would have cost in full precision.

The `mac` view counts multiply-accumulates alone. One in fp32 costs 4.6 pJ at 45 nm: multiply 3.7 pJ + add 0.9 pJ
(Horowitz 2014, "Computing's energy problem", ISSCC, fig. 1.1.9). One on quantized numbers costs
4.6 pJ x max(weight bits, activation bits) / 32, the linear rule in which Long, Chakraborty and Roy (arXiv 2005.10851)
compare networks. These are estimates, not measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

PJ_FP32_MULTIPLY = 3.7
PJ_FP32_ADD = 0.9
PJ_FP32_MAC = 4.6

#: Multiply-accumulates of ResNet-32 on a 32x32 image (He et al. 2016, section 4.2): the standard network for CIFAR.
STANDARD_MACS_CIFAR = 69.1e6


class LayerCost(Protocol):
    """What this module reads of a layer; `hybrid_model.bundle.Layer` is one."""

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
    def weight_bits(self) -> int:
        """Bits of a weight."""

    @property
    def activation_bits(self) -> int:
        """Bits of an input value."""


@dataclass(frozen=True)
class StageEnergy:
    """Joules per sample by stage: `edge[s]` for edge stage s (the last one leads to the cut), and the cloud half."""

    edge: tuple[float, ...]
    cloud: float


def mac_energy_j(macs: float, weight_bits: int = 32, activation_bits: int = 32) -> float:
    """Joules of `macs` multiply-accumulates: macs x 4.6e-12 x max(weight_bits, activation_bits) / 32."""
    return macs * PJ_FP32_MAC * 1e-12 * max(weight_bits, activation_bits) / 32


def layer_energy_j(layer: LayerCost) -> float:
    """Joules of one layer for one sample."""
    return mac_energy_j(layer.macs, layer.weight_bits, layer.activation_bits)


def stage_energy_j(layers: Iterable[LayerCost]) -> StageEnergy:
    """Joules per sample of every edge stage and of the cloud half."""
    edge: dict[int, float] = {}
    cloud = 0.0
    for layer in layers:
        joules = layer_energy_j(layer)
        if layer.stage == "cloud":
            cloud += joules
        else:
            edge[layer.stage] = edge.get(layer.stage, 0.0) + joules
    stages = max(edge, default=-1) + 1
    return StageEnergy(edge=tuple(edge.get(s, 0.0) for s in range(stages)), cloud=cloud)


def path_energy_j(layers: Iterable[LayerCost], end: int | Literal["cut", "cloud"]) -> float:
    """Joules of every stage on a sample's path, once each.

    `end`: the exit at which it left; "cut" for an escalated sample that the edge labelled; "cloud" for one
    that the cloud half answered. Raises ValueError for a negative exit.
    """
    energy = stage_energy_j(layers)
    if end == "cloud":
        return sum(energy.edge) + energy.cloud
    if end == "cut":
        return sum(energy.edge)
    if end < 0:
        raise ValueError(f"exits count from 0, not {end}; an escalated sample's path ends at 'cut' or 'cloud'")
    return sum(energy.edge[: end + 1])


def twin_energy_j(layers: Iterable[LayerCost]) -> float:
    """Joules per sample of the full-precision twin: every backbone layer at 32 bits, no exits and no cut."""
    return sum(mac_energy_j(layer.macs) for layer in layers if layer.role == "backbone")


def standard_energy_j(macs: float = STANDARD_MACS_CIFAR) -> float:
    """Joules per sample of a standard network in full precision."""
    return mac_energy_j(macs)


def mean_energy_j(layers: Iterable[LayerCost], exit_shares: Sequence[float]) -> float:
    """Mean joules per sample where the share `exit_shares[e]` leaves at exit e and the rest is answered in the cloud.

    Raises ValueError for shares that are negative or add up to more than 1.
    """
    escalated = 1.0 - sum(exit_shares)
    if min(exit_shares, default=0.0) < 0 or escalated < -1e-6:
        raise ValueError(f"exit shares lie in 0 to 1 and add up to at most 1, not {list(exit_shares)}")
    listed = list(layers)
    at_exits = sum(share * path_energy_j(listed, e) for e, share in enumerate(exit_shares))
    return at_exits + max(escalated, 0.0) * path_energy_j(listed, "cloud")
