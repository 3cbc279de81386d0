"""What a sample costs: on its path through the network, in the mean over paths, and in the networks compared with.

A path has one of three ends: an exit, the cut, the cloud half. Compared with are the full-precision twin (the same
samples without exits and without few bits) and a standard network. In the view `full` such a baseline stands either in
the cloud, and then every sample travels there whole (`sent_bytes`: as few as a lossless format needs), or at the
sensor, where nothing travels (`sent_bytes` 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hybrid_model.energy.layers import MAC, LayerCost, View, layer_energy_j
from hybrid_model.energy.prices import mac_energy_j

End = int | Literal["cut", "cloud"]

#: Parts in the order in which a sample passes them.
PARTS = ("stem", "convolutions", "shortcuts", "exits", "cut", "radio", "cloud")

#: Multiply-accumulates of ResNet-32 on a 32x32 image (He et al. 2016, section 4.2): the standard network for CIFAR.
STANDARD_MACS_CIFAR = 69.1e6
#: Names of the data sets for which it is that.
STANDARD_FOR = ("cifar10", "cifar100")

#: ResNet-32 with projection shortcuts, layer by layer: how many, name, weights, inputs, outputs, output positions.
_RESNET_32 = (
    (1, "stem", 3 * 16 * 9, 3 * 1024, 16 * 1024, 1024),
    (10, "stage 1", 16 * 16 * 9, 16 * 1024, 16 * 1024, 1024),
    (1, "stage 2, first", 16 * 32 * 9, 16 * 1024, 32 * 256, 256),
    (1, "stage 2, shortcut", 16 * 32, 16 * 256, 32 * 256, 256),
    (9, "stage 2", 32 * 32 * 9, 32 * 256, 32 * 256, 256),
    (1, "stage 3, first", 32 * 64 * 9, 32 * 256, 64 * 64, 64),
    (1, "stage 3, shortcut", 32 * 64, 32 * 64, 64 * 64, 64),
    (9, "stage 3", 64 * 64 * 9, 64 * 64, 64 * 64, 64),
)


@dataclass(frozen=True)
class StageEnergy:
    """Joules per sample by stage: `edge[s]` for edge stage s (the last one leads to the cut), and the cloud half."""

    edge: tuple[float, ...]
    cloud: float


def stage_energy_j(layers: Iterable[LayerCost], view: View = MAC) -> StageEnergy:
    """Joules per sample of every edge stage and of the cloud half, without the bytes between them."""
    edge: dict[int, float] = {}
    cloud = 0.0
    for layer in layers:
        joules = layer_energy_j(layer, view)
        if layer.stage == "cloud":
            cloud += joules
        else:
            edge[layer.stage] = edge.get(layer.stage, 0.0) + joules
    stages = max(edge, default=-1) + 1
    return StageEnergy(edge=tuple(edge.get(s, 0.0) for s in range(stages)), cloud=cloud)


def on_path(layer: LayerCost, end: End) -> bool:
    """Whether a sample whose path has this `end` runs through the layer. Raises ValueError for a negative exit."""
    if end == "cloud":
        return True
    if end != "cut" and end < 0:
        raise ValueError(f"exits count from 0, not {end}; an escalated sample's path ends at 'cut' or 'cloud'")
    return layer.stage != "cloud" and (end == "cut" or layer.stage <= end)


def path_energy_j(layers: Iterable[LayerCost], end: End, view: View = MAC, sent_bytes: float = 0.0) -> float:
    """Joules of every stage on a sample's path, once each, and of the features sent.

    `end`: the exit at which it left; "cut" for an escalated sample that the edge labelled, before anything was sent;
    "cloud" for one that the cloud half answered, which had `sent_bytes` sent. Raises ValueError for a negative exit.
    """
    spent = sum(layer_energy_j(layer, view) for layer in layers if on_path(layer, end))
    return spent + (view.sending_j(sent_bytes) if end == "cloud" else 0.0)


def mean_energy_j(
    layers: Iterable[LayerCost], exit_shares: Sequence[float], view: View = MAC, sent_bytes: float = 0.0
) -> float:
    """Mean joules per sample where the share `exit_shares[e]` leaves at exit e and the rest is answered in the cloud.

    `sent_bytes`: of a sample that rises. Raises ValueError for shares that are negative or add up to more than 1.
    """
    escalated = 1.0 - sum(exit_shares)
    if min(exit_shares, default=0.0) < 0 or escalated < -1e-6:
        raise ValueError(f"exit shares lie in 0 to 1 and add up to at most 1, not {list(exit_shares)}")
    listed = list(layers)
    at_exits = sum(share * path_energy_j(listed, e, view) for e, share in enumerate(exit_shares))
    return at_exits + max(escalated, 0.0) * path_energy_j(listed, "cloud", view, sent_bytes)


def part_of(layer: LayerCost) -> str:
    """The part of `PARTS` to which a layer belongs; `convolutions` are those of the edge's units."""
    if layer.stage == "cloud":
        return "cloud"
    if layer.role in ("exit", "cut"):
        return {"exit": "exits", "cut": "cut"}[layer.role]
    if layer.name.startswith("stem"):
        return "stem"
    return "shortcuts" if ".shortcut." in layer.name else "convolutions"


def path_parts_j(layers: Iterable[LayerCost], end: End, view: View = MAC, sent_bytes: float = 0.0) -> dict[str, float]:
    """Joules of a sample's path by part, all of `PARTS`; together what `path_energy_j` gives."""
    joules = dict.fromkeys(PARTS, 0.0)
    for layer in layers:
        if on_path(layer, end):
            joules[part_of(layer)] += layer_energy_j(layer, view)
    if end == "cloud":
        joules["radio"] = view.sending_j(sent_bytes)
    return joules


@dataclass(frozen=True)
class FullPrecisionLayer:
    """A layer of a network compared with; a `LayerCost` at 32 bits."""

    name: str
    macs: int
    params: int
    inputs: int | None
    outputs: int | None
    stage: Literal["cloud"] = "cloud"
    role: str = "backbone"
    weight_bits: int = 32
    activation_bits: int = 32


def twin_layers(layers: Iterable[LayerCost]) -> list[FullPrecisionLayer]:
    """The full-precision twin: every backbone layer at 32 bits, no exits and no cut."""
    return [
        FullPrecisionLayer(layer.name, layer.macs, layer.params, layer.inputs, layer.outputs)
        for layer in layers
        if layer.role == "backbone"
    ]


def twin_energy_j(layers: Iterable[LayerCost], view: View = MAC, sent_bytes: float = 0.0) -> float:
    """Joules per sample of the full-precision twin, and of `sent_bytes` where the sample travels to it."""
    return sum(layer_energy_j(layer, view) for layer in twin_layers(layers)) + view.sending_j(sent_bytes)


def standard_layers(classes: int = 10) -> list[FullPrecisionLayer]:
    """ResNet-32 on a 32x32 RGB image: 69.1 M multiply-accumulates, 0.46 M weights at 10 classes."""
    body = [
        FullPrecisionLayer(name, weights * positions, weights, inputs, outputs)
        for count, name, weights, inputs, outputs, positions in _RESNET_32
        for _ in range(count)
    ]
    return [*body, FullPrecisionLayer("classifier", 64 * classes, 64 * classes, 64, classes)]


def standard_energy_j(
    macs: float = STANDARD_MACS_CIFAR, view: View = MAC, sent_bytes: float = 0.0, *, classes: int = 10
) -> float:
    """Joules per sample of a standard network: `macs` at 32 bits, and in the view `full` ResNet-32's accesses too."""
    joules = mac_energy_j(macs)
    if view.name == "full":
        listed = standard_layers(classes)
        joules += sum(layer_energy_j(layer, view) - layer_energy_j(layer, MAC) for layer in listed)
    return joules + view.sending_j(sent_bytes)
