"""What a stage costs, a sample's path, and the mean over paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hybrid_model.energy.layer import MAC, LayerCost, View, layer_energy_j

End = int | Literal["cut", "cloud"]


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
