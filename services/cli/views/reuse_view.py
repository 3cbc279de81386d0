"""At which distance of their features an answer may be reused, for a person; or why a bundle knows none."""

from __future__ import annotations

from typing import Any

from hybrid_model.bundle import Manifest
from hybrid_model.bundle.reuse import SCENES_MIN


def sentence(manifest: Manifest) -> str:
    """The distance with what it did on near-duplicates, or why there is none."""
    found = manifest.reuse
    if found is None:
        return f"No distance at which answers may be reused: {why_none(manifest)}."
    return (
        f"Answers may be reused where features differ in at most {found.distance_bits:,} of {8 * manifest.cut.bytes:,} "
        f"bits: of {found.samples:,} hard samples in {found.scenes:,} sequences of near-duplicates "
        f"{found.reused_share:.1%} took an earlier answer, and {found.changed_share:.1%} got another class by it "
        f"(tested: at most {found.alpha:.0%} of a sequence, with probability {1 - found.delta:.0%})."
    )


def figures(manifest: Manifest) -> dict[str, Any]:
    """The same as plain data: `reuse` as the manifest has it, and `reuse_missing`, why it is null."""
    found = manifest.reuse
    return {
        "reuse": None if found is None else found.model_dump(mode="json"),
        "reuse_missing": why_none(manifest) if found is None else None,
    }


def why_none(manifest: Manifest) -> str:
    """As far as the manifest tells."""
    calibration = manifest.calibration
    if manifest.input.dtype != "uint8":
        return "the network takes no pictures, and near-duplicates are made of pictures"
    if calibration is None:
        return "the network is not calibrated"
    samples = calibration.calibration.samples
    rising = round((1 - calibration.path[calibration.point].edge_share) * samples)
    if rising < SCENES_MIN:
        return f"of {samples:,} calibration samples about {rising:,} rise, and a test needs {SCENES_MIN}"
    return "none passed its test, or the bundle was calibrated before there was one"
