"""What the same samples would cost without exits and without few bits: the twin, and a standard network.

In the view `full` a baseline stands either in the cloud, and then every sample travels there whole (`sent_bytes`: as
few as a lossless format needs), or at the sensor, where nothing travels (`sent_bytes` 0).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hybrid_model.energy.layer import MAC, LayerCost, View, layer_energy_j
from hybrid_model.energy.mac import mac_energy_j

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
