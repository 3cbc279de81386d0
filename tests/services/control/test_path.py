"""Positions on the calibrated path, and what a mix of two points means."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from hybrid_model.bundle import Calibration
from services.control import ExitPath, NotCalibratedError, mixed
from tests.hybrid_model.small_calibration import small_calibration
from tests.services.control.streams import calibration_of, path_of

BUNDLES = ("digits", "cifar10", "cifar100", "har")


def small(**changes: object) -> ExitPath:
    return ExitPath(Calibration.model_validate(small_calibration() | changes))


def shares_at(bundle: str, positions: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The shares of calibration's tuning split that rise at positions."""
    shares = [1.0 - one.edge_share for one in calibration_of(bundle).path]
    return np.interp(positions, np.arange(len(shares)), shares)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_position_is_found_again_by_its_log_odds(bundle):
    path = path_of(bundle)
    for position in np.linspace(0, path.last, 301):
        assert path.position_at(path.log_odds_at(position)) == pytest.approx(position, abs=1e-6)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_along_the_path_ever_fewer_rise(bundle):
    path = path_of(bundle)
    positions = np.linspace(0, path.last, 301)
    odds = [path.log_odds_at(position) for position in positions]
    shares = shares_at(bundle, positions)

    assert all(after < before for before, after in pairwise(odds))
    assert all(after <= before for before, after in pairwise(shares))


def test_what_the_path_does_not_reach_is_its_nearest_end():
    path = small()
    assert path.position_at(1e9) == 0
    assert path.position_at(-1e9) == path.last == 4


def test_points_of_the_same_share_stay_apart():
    told = small_calibration()
    told["path"][2] |= {key: told["path"][1][key] for key in ("edge_share", "exit_share")}
    path = ExitPath(Calibration.model_validate(told))

    assert path.position_at(path.log_odds_at(1.5)) == pytest.approx(1.5)


def test_only_what_passed_may_be_taken_unless_all_is_allowed():
    path = small()
    assert path.limits(allow_uncalibrated=False) == (1, 2)
    assert path.limits(allow_uncalibrated=True) == (0, 4)
    assert [path.is_calibrated(one) for one in (0.9, 1, 1.7, 2, 2.1)] == [False, True, True, True, False]


def test_where_nothing_passed_nothing_may_be_taken():
    told = small_calibration()
    for point in told["path"]:
        point["p_value"] = None
    path = ExitPath(Calibration.model_validate(told | {"start": None, "passed": None}))

    with pytest.raises(NotCalibratedError, match="allow_uncalibrated"):
        path.limits(allow_uncalibrated=False)
    assert path.limits(allow_uncalibrated=True) == (0, 4)


def test_between_two_points_a_mix_gives_the_share_between_theirs():
    random = np.random.default_rng(1)
    for position in (10.0, 10.25, 33.9):
        points = mixed(position, 20_000, random)

        assert set(points) <= {int(position), int(position) + 1}
        assert points.mean() == pytest.approx(position, abs=0.015)
        assert shares_at("cifar10", points).mean() == pytest.approx(shares_at("cifar10", position), abs=0.001)


def test_the_last_point_is_mixed_with_nothing():
    path = small()
    assert set(mixed(float(path.last), 100, np.random.default_rng(0))) == {4}
    assert path.position_at(path.log_odds_at(4.0)) == 4
