"""What exit control starts from: the settings and the bundle, and set-points as they come."""

from __future__ import annotations

from typing import Final

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from services.budgets import Costs
from services.edge.errors import EdgeError
from services.messages import Budget, Control, MessageError
from services.settings import ControlSettings, EdgeSettings

__all__ = ["costs", "decoded", "pinned", "wanted"]

_PAYLOAD_BYTES_MAX: Final = 4096


def wanted(settings: ControlSettings) -> Control:
    """The set-point that the settings stand for."""
    if settings.mode == "fixed":
        return Control(mode="fixed", point=settings.point)
    assert settings.budget is not None
    assert settings.value is not None
    return Control(mode="budget", budget=Budget(settings.budget, settings.value))


def decoded(payload: bytes) -> Control:
    """A set-point. Raises MessageError."""
    if len(payload) > _PAYLOAD_BYTES_MAX:
        raise MessageError("oversized", f"{len(payload)} bytes, {_PAYLOAD_BYTES_MAX} are allowed")
    return Control.decode(payload)


def pinned(settings: EdgeSettings, manifest: Manifest) -> tuple[float, ...] | None:
    """Thresholds that the settings pin. Raises EdgeError where they are not as many as the exits."""
    if settings.thresholds is None:
        return None
    if len(settings.thresholds) != len(manifest.exits):
        raise EdgeError(f"edge.thresholds: {manifest.name} has {len(manifest.exits)} exits")
    return tuple(settings.thresholds)


def costs(manifest: Manifest) -> Costs:
    """What a sample costs with this bundle."""
    exits = range(len(manifest.exits))
    return Costs(
        exits_j=tuple(energy.path_energy_j(manifest.layers, number) for number in exits),
        cloud_j=energy.path_energy_j(manifest.layers, "cloud"),
        feature_bytes=manifest.cut.bytes,
    )
