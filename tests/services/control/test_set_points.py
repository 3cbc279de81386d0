"""Which set-points a bundle can follow, and what is said of the others."""

from __future__ import annotations

import pytest

from hybrid_model.bundle import Calibration
from services.control import ExitPath, Overload, SetPointError, check
from services.messages import Budget, Control
from tests.hybrid_model.small_calibration import small_calibration
from tests.services.control.streams import COSTS

PATH = ExitPath(Calibration.model_validate(small_calibration()))  # 1 and 2 of the points 0 to 4 passed
SHARE = Control("budget", budget=Budget("escalated_share", 0.2))


@pytest.mark.parametrize("wanted", [Control("fixed", 1), Control("fixed", 2), Control("fixed"), SHARE], ids=str)
def test_what_passed_calibration_is_followed(wanted):
    check(wanted, PATH, COSTS, allow_uncalibrated=False)


@pytest.mark.parametrize("point", [0, 3, 4])
def test_points_that_did_not_pass_need_to_be_allowed(point):
    with pytest.raises(SetPointError, match=rf"point {point}: only the points 1 to 2 .*allow_uncalibrated"):
        check(Control("fixed", point), PATH, COSTS, allow_uncalibrated=False)
    check(Control("fixed", point), PATH, COSTS, allow_uncalibrated=True)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Control("fixed", 5), "point 5: the bundle's path has the points 0 to 4"),
        (Control("budget", budget=Budget("escalated_share", 1.5)), "between 0 and 1"),
        (Control("budget", budget=Budget("latency_p99_ms", 0.0)), "above 0"),
        (Control("budget"), "lacks a name"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wanted, says):
    with pytest.raises(SetPointError, match=says):
        check(wanted, PATH, COSTS, allow_uncalibrated=True)


def test_without_a_calibrated_path_only_the_bundles_own_thresholds_hold():
    check(Control("fixed"), None, COSTS, allow_uncalibrated=True)
    for wanted in (Control("fixed", 1), SHARE):
        with pytest.raises(SetPointError, match="dewpoint calibrate"):
            check(wanted, None, COSTS, allow_uncalibrated=True)


def test_the_budget_shrinks_before_the_queue_is_full_and_grows_again_slowly():
    overload = Overload()
    assert [overload.factor(fill, 1.0) for fill in (0.0, 0.5, 0.7, 0.9)] == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert overload.factor(1.5, 1.0) == 0.0
    assert [overload.factor(0.0, 1.0) for _ in range(3)] == pytest.approx([0.05, 0.1, 0.15])
    assert overload.factor(0.0, 100.0) == 1.0
