"""Which set-points a bundle can follow."""

from __future__ import annotations

from services.control.path import ExitPath, NotCalibrated
from services.messages import Control


class SetPointRefused(ValueError):  # noqa: N818 - says what is the case
    """A set-point that cannot be followed; the message says why and what to do."""


def check(wanted: Control, path: ExitPath | None, *, allow_uncalibrated: bool) -> None:
    """Whether a bundle with this path (none: it was not calibrated) can follow a set-point.

    Raises SetPointRefused where it cannot.
    """
    if wanted.mode == "fixed" and wanted.point is None:
        return  # the bundle's own thresholds
    if path is None:
        raise SetPointRefused(f"{told(wanted)}: this bundle has no calibrated path; make one with dewpoint calibrate")
    try:
        low, high = path.limits(allow_uncalibrated=allow_uncalibrated)
    except NotCalibrated as error:
        raise SetPointRefused(f"{told(wanted)}: {error}") from None
    if wanted.mode == "fixed":
        assert wanted.point is not None
        if wanted.point > path.last:
            raise SetPointRefused(f"{told(wanted)}: the bundle's path has the points 0 to {path.last}")
        if not low <= wanted.point <= high:
            raise SetPointRefused(
                f"{told(wanted)}: only the points {low} to {high} passed calibration; take one of them, or set"
                " edge.control.allow_uncalibrated"
            )
        return
    budget = wanted.budget
    if budget is None:
        raise SetPointRefused("budget: it lacks a name and a value")
    if budget.name == "escalated_share" and not 0 <= budget.value <= 1:
        raise SetPointRefused(f"{told(wanted)}: a share lies between 0 and 1")
    if budget.value < 0 or (budget.name == "latency_p99_ms" and budget.value == 0):
        raise SetPointRefused(f"{told(wanted)}: it must be above 0")


def told(wanted: Control) -> str:
    """A set-point in a few words."""
    if wanted.mode == "fixed":
        return f"point {wanted.point}"
    return "budget" if wanted.budget is None else f"{wanted.budget.name}={wanted.budget.value:g}"
