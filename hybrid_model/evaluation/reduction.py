"""How much less energy a network spends than what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_model import energy
from hybrid_model.bundle import Manifest


@dataclass(frozen=True)
class EnergyReduction:
    """Energy of a baseline over energy of the network; an estimate.

    `mac` and `full`: of the own full-precision twin; `*_standard`: of ResNet-32, null for other data than CIFAR.
    In the view `full` baselines stand in the cloud, and every sample travels there; `*_at_sensor` stand at the sensor,
    and nothing travels. Null where the bundle's layers do not say how many values they read and write.
    """

    mac: float
    mac_standard: float | None
    full: float | None
    full_standard: float | None
    full_at_sensor: float | None
    full_standard_at_sensor: float | None


def energy_reduction(
    manifest: Manifest,
    exit_share: Sequence[float],
    *,
    dataset_name: str,
    sample_bytes: float,
    view: energy.View = energy.FULL,
) -> EnergyReduction:
    """`exit_share` (E,): who leaves where; the others rise. `sample_bytes`: of a whole sample sent to a baseline."""
    layers, classes = manifest.layers, len(manifest.classes)
    has_standard = dataset_name in energy.STANDARD_FOR

    def reduction(one: energy.View, sent_bytes: float) -> tuple[float, float | None]:
        spent = energy.mean_energy_j(layers, exit_share, one, manifest.cut.bytes)
        standard = energy.standard_energy_j(view=one, sent_bytes=sent_bytes, classes=classes) if has_standard else None
        own = energy.twin_energy_j(layers, one, sent_bytes) / spent
        return own, None if standard is None else standard / spent

    known = energy.has_traffic(layers)
    mac, mac_standard = reduction(energy.MAC, 0.0)
    full, full_standard = reduction(view, sample_bytes) if known else (None, None)
    at_sensor, standard_at_sensor = reduction(view, 0.0) if known else (None, None)
    return EnergyReduction(mac, mac_standard, full, full_standard, at_sensor, standard_at_sensor)
