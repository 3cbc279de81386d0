"""Operations, memory accesses and radio bytes -> joules: what a decision costs, and what it would have cost otherwise.

Two views. `MAC` counts multiply-accumulates alone; `FULL` adds memory accesses and the bytes that an edge sends. The
constants and their sources stand in `prices`. The same joules count at the edge and in the cloud. All are estimates,
not measurements; docs/explanation/energy.md has the model, what it leaves out, and an example worked by hand.
"""

from hybrid_model.energy.layers import FULL, MAC, LayerCost, View, full_view, has_traffic, layer_energy_j
from hybrid_model.energy.paths import (
    PARTS,
    STANDARD_FOR,
    STANDARD_MACS_CIFAR,
    StageEnergy,
    mean_energy_j,
    part_of,
    path_energy_j,
    path_parts_j,
    stage_energy_j,
    standard_energy_j,
    standard_layers,
    twin_energy_j,
    twin_layers,
)
from hybrid_model.energy.prices import (
    LTE,
    PJ_DRAM_BIT,
    PJ_FP32_ADD,
    PJ_FP32_MAC,
    PJ_FP32_MULTIPLY,
    PJ_SRAM_BIT,
    RADIOS,
    WIFI,
    Radio,
    mac_energy_j,
    memory_energy_j,
)

__all__ = [
    "FULL",
    "LTE",
    "MAC",
    "PARTS",
    "PJ_DRAM_BIT",
    "PJ_FP32_ADD",
    "PJ_FP32_MAC",
    "PJ_FP32_MULTIPLY",
    "PJ_SRAM_BIT",
    "RADIOS",
    "STANDARD_FOR",
    "STANDARD_MACS_CIFAR",
    "WIFI",
    "LayerCost",
    "Radio",
    "StageEnergy",
    "View",
    "full_view",
    "has_traffic",
    "layer_energy_j",
    "mac_energy_j",
    "mean_energy_j",
    "memory_energy_j",
    "part_of",
    "path_energy_j",
    "path_parts_j",
    "stage_energy_j",
    "standard_energy_j",
    "standard_layers",
    "twin_energy_j",
    "twin_layers",
]
