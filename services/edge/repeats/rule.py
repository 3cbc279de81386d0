"""How often hard samples of an input may rise, and when the cloud's last answer is taken for theirs."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_model.bundle import Manifest
from services.edge.errors import EdgeError
from services.settings import InputSettings

__all__ = ["RepeatRule", "repeat_rule"]


@dataclass(frozen=True, slots=True)
class RepeatRule:
    """Of one input. `escalate_min_s`: at most one hard sample a device rises in that time; none: all may.

    `reuse_bits`: features so near, in bits that differ, to those of the device's last sample that the cloud answered
    have that answer; none: no answer is reused. It holds for `reuse_s` and for `reuse_samples_max` samples in a row.
    """

    escalate_min_s: float | None = None
    reuse_bits: int | None = None
    reuse_s: float = 30.0
    reuse_samples_max: int = 100


def repeat_rule(settings: InputSettings, manifest: Manifest) -> RepeatRule | None:
    """That of an input; none where every hard sample rises. Raises EdgeError where the bundle knows no distance."""
    bits: int | None = None
    if settings.reuse:
        bits = settings.reuse_bits
        if bits is None and manifest.reuse is not None:
            bits = manifest.reuse.distance_bits
        if bits is None:
            raise EdgeError(
                f"input {settings.topic}: reuse: {manifest.name} knows no distance at which answers may be reused; "
                "calibrate it on pictures (dewpoint calibrate), or set reuse_bits"
            )
    if bits is None and settings.escalate_min_s is None:
        return None
    return RepeatRule(
        escalate_min_s=settings.escalate_min_s,
        reuse_bits=bits,
        reuse_s=settings.reuse_s,
        reuse_samples_max=settings.reuse_samples_max,
    )
