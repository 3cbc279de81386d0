"""What the edge may cost a sample, in energy or in time, and what a network would."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hybrid_model import bundle as bundle_file
from hybrid_model import cut as cut_codec
from hybrid_model import energy
from hybrid_model.bundle import Bundle, Layer
from hybrid_model.errors import DewpointError
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.edge_graph import edge_graph
from hybrid_model.nn.quantizers import ClippedLevels
from hybrid_model.nn.summary import layer_table
from hybrid_model.runtime import EdgeEngine

__all__ = ["BudgetError", "EdgeBudget", "edge_energy_j", "edge_time_s", "parse_budget", "untrained_bundle"]

_UNITS: Final = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_ROUNDS: Final = 15


class BudgetError(DewpointError, ValueError):
    """A budget that is none."""


@dataclass(frozen=True)
class EdgeBudget:
    """At most so many joules, or so many seconds on this machine with one thread, for a sample that leaves at the exit.

    `text`: as it was written.
    """

    text: str
    energy_j: float | None = None
    time_s: float | None = None

    def cost(self, architecture: Architecture) -> float:
        """What the edge of a network costs, in the budget's own unit, joules or seconds."""
        return edge_energy_j(architecture) if self.energy_j is not None else edge_time_s(architecture)

    def allows(self, cost: float) -> bool:
        """Whether a cost, of `cost`, is within the budget."""
        most = self.energy_j if self.energy_j is not None else self.time_s
        return most is not None and cost <= most

    def told(self, cost: float) -> str:
        """A cost for people."""
        return f"{cost * 1e6:.3g} uJ" if self.energy_j is not None else f"{cost * 1e3:.3g} ms"


def parse_budget(text: str) -> EdgeBudget:
    """`50uJ`, `0.2 mJ` or `2ms` as a budget. Raises BudgetError for anything else."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*([a-zA-Zµμ]+)\s*", text)
    unit = found[2].replace("µ", "u").replace("μ", "u") if found else ""
    if found is None or unit not in _UNITS or float(found[1]) <= 0:
        raise BudgetError(f"edge budget {text!r}: write an energy or a time a sample, such as 50uJ or 2ms")
    amount = float(found[1]) * _UNITS[unit]
    return EdgeBudget(text, energy_j=amount) if unit.endswith("J") else EdgeBudget(text, time_s=amount)


def edge_energy_j(architecture: Architecture) -> float:
    """Joules of a sample that leaves at the last exit, operations and memory accesses, as estimated."""
    layers = [Layer.model_validate(row) for row in layer_table(HybridNetwork(architecture))]
    return energy.path_energy_j(layers, len(architecture.exits) - 1, energy.FULL)


def edge_time_s(architecture: Architecture) -> float:
    """Seconds of a sample to the last exit on this machine, one thread: the median of some runs with random weights."""
    engine = EdgeEngine(untrained_bundle(architecture))
    x = np.random.default_rng(0).integers(0, 256, (1, *architecture.input_shape)).astype(architecture.input_dtype)
    everybody = [float("inf")] * len(architecture.exits)
    seconds = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        engine.infer(x, thresholds=everybody)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def untrained_bundle(architecture: Architecture) -> Bundle:
    """A bundle of this architecture with random weights: it knows nothing, and costs what a trained one costs."""
    network = HybridNetwork(architecture).eval()
    ops, edge = edge_graph(network)
    quant = network.cut.quant
    manifest: dict[str, Any] = {
        "schema": 1,
        "name": "untrained",
        "input": {"kind": "image", "shape": list(architecture.input_shape), "dtype": architecture.input_dtype},
        "classes": [str(number) for number in range(architecture.classes)],
        "architecture": architecture.model_dump(mode="json"),
        "edge_graph": ops,
        "exits": [{"name": f"exit {n}", "stage": n, "threshold": 0.0} for n in range(len(architecture.exits))],
        "cut": {
            "shape": list(network.cut_shape),
            "bits": architecture.cut.bits,
            "bytes": cut_codec.packed_bytes(network.cut_shape, architecture.cut.bits),
            "scale": {"alpha": float(quant.alpha.detach())} if isinstance(quant, ClippedLevels) else {},
        },
        "layers": layer_table(network),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.dew"
        bundle_file.save(path, manifest, edge, {})
        return bundle_file.load(path)
