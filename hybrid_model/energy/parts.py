"""Where a path's joules go: by part of the network."""

from __future__ import annotations

from collections.abc import Iterable

from hybrid_model.energy.layer import MAC, LayerCost, View, layer_energy_j
from hybrid_model.energy.paths import End, on_path

#: Parts in the order in which a sample passes them.
PARTS = ("stem", "convolutions", "shortcuts", "exits", "cut", "radio", "cloud")


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
    found = dict.fromkeys(PARTS, 0.0)
    for layer in layers:
        if on_path(layer, end):
            found[part_of(layer)] += layer_energy_j(layer, view)
    if end == "cloud":
        found["radio"] = view.sending_j(sent_bytes)
    return found
