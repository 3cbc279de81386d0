"""What a calibration is asked for: kind of score, what chooses the working point, and what is tested."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hybrid_model.bundle import Manifest
from hybrid_model.errors import DewpointError
from hybrid_model.exits import ScoreKind


class CalibrationError(DewpointError, ValueError):
    """A bundle that cannot be calibrated as asked; the message says why and what to do."""


class OperatingPoint(BaseModel):
    """How the exits are calibrated.

    `by` says what chooses the working point: an `edge_share`; an `accuracy_budget`, the accuracy that may be lost
    against the cloud half alone, as a share; or the `guarantee` that no exit's error rate is above `alpha`. Whatever
    chooses, the path is tested for `alpha` at level `delta`.

    `guard_share_lost`: the share of the tuning samples which would leave by their scores, at the point of `edge_share`,
    that the guards hold back; 0: no guards.
    """

    model_config = ConfigDict(extra="forbid")
    score: ScoreKind = "entropy"
    fit_temperature: bool = True
    by: Literal["edge_share", "accuracy_budget", "guarantee"] = "edge_share"
    edge_share: float = Field(default=0.65, gt=0, le=1)
    accuracy_budget: float = Field(default=0.01, ge=0, le=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    delta: float = Field(default=0.05, gt=0, lt=1)
    guard_share_lost: float = Field(default=0.015, ge=0, lt=1)


def wish_of(manifest: Manifest) -> OperatingPoint:
    """How a bundle was calibrated; where it never was, what its recipe says; else the defaults.

    A bundle that was calibrated before there were guards gets them as by default.
    """
    calibration = manifest.calibration
    if calibration is not None:
        ((by, value),) = calibration.chosen_by.items()
        asked = {"by": by} if by == "guarantee" else {"by": by, by: value}
        kept = {name: getattr(calibration, name) for name in ("score", "fit_temperature", "alpha", "delta")}
        if calibration.guard_share_lost is not None:
            kept["guard_share_lost"] = calibration.guard_share_lost
        return operating_point(OperatingPoint(), **asked, **kept)
    recipe = manifest.provenance.get("recipe")
    stated = recipe.get("operating_point") if isinstance(recipe, dict) else None
    return operating_point(OperatingPoint(), **stated) if isinstance(stated, dict) else OperatingPoint()


def operating_point(base: OperatingPoint, **changes: Any) -> OperatingPoint:
    """`base` with some fields changed. Raises CalibrationError for a value that cannot be."""
    try:
        return OperatingPoint.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CalibrationError(f"{where} = {first['input']}: {first['msg']}") from error
