"""Which set-points a bundle can follow."""

from __future__ import annotations

from hybrid_model.errors import DewpointError
from services.control.path import ExitPath, NotCalibratedError
from services.messages import Control


class SetPointError(DewpointError, ValueError):
    """A set-point that cannot be followed; the message says why and what to do."""


def check(wanted: Control, path: ExitPath | None, *, allow_uncalibrated: bool) -> None:
    """Whether a bundle with this path (none: it was not calibrated) can follow a set-point.

    Raises SetPointError where it cannot.
    """
    if wanted.mode == "fixed" and wanted.point is None:
        return  # the bundle's own thresholds
    if path is None:
        raise SetPointError(f"{told(wanted)}: this bundle has no calibrated path; make one with dewpoint calibrate")
    try:
        low, high = path.limits(allow_uncalibrated=allow_uncalibrated)
    except NotCalibratedError as error:
        raise SetPointError(f"{told(wanted)}: {error}") from None
    if wanted.mode == "fixed":
        assert wanted.point is not None
        if wanted.point > path.last:
            raise SetPointError(f"{told(wanted)}: the bundle's path has the points 0 to {path.last}")
        if not low <= wanted.point <= high:
            raise SetPointError(
                f"{told(wanted)}: only the points {low} to {high} passed calibration; take one of them, or set"
                " edge.control.allow_uncalibrated"
            )
        return
    budget = wanted.budget
    if budget is None:
        raise SetPointError("budget: it lacks a name and a value")
    if budget.name == "escalated_share" and not 0 <= budget.value <= 1:
        raise SetPointError(f"{told(wanted)}: a share lies between 0 and 1")
    if budget.value < 0 or (budget.name == "latency_p99_ms" and budget.value == 0):
        raise SetPointError(f"{told(wanted)}: it must be above 0")


def told(wanted: Control) -> str:
    """A set-point in a few words."""
    if wanted.mode == "fixed":
        return f"point {wanted.point}"
    return "budget" if wanted.budget is None else f"{wanted.budget.name}={wanted.budget.value:g}"
