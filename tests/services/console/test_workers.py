"""What workers make of a set-point, where they are on the path, and the path itself."""

from __future__ import annotations

import pytest

from hybrid_model import bundle as bundles
from services.console.collect.metrics_page import MetricsPage
from services.console.state.path_curve import PathCurve, load_manifest
from services.console.state.state import State
from services.console.state.workers import control_text
from services.messages import Budget, Control, Status

POINT = Control("fixed", point=40)
BUDGET = Control("budget", budget=Budget("escalated_share", 0.2))


def status(worker="edge-1", *, state="online", **control):
    told = {"mode": "fixed", "point": 38, "position": 38.0, "source": "settings", "set_points": 0}
    told |= {"refused": None, "error": None}
    return Status(state, worker, "digits@0", "numpy", {**told, **control})


@pytest.fixture
def state():
    return State(pictures_kept=10)


def _outcomes(state):
    return [(one.worker, one.outcome) for one in state.acknowledgements]


def test_without_a_set_point_nothing_is_acknowledged(state):
    state.take_status(status())
    assert state.acknowledgements == []


def test_a_worker_that_follows_the_set_point_says_so(state):
    state.take_control(POINT)
    state.take_status(status(point=40, source="setpoint", set_points=1))
    state.take_status(status("edge-2"))
    assert _outcomes(state) == [("edge-1", "follows"), ("edge-2", "waiting")]


def test_the_same_point_by_its_settings_is_no_answer(state):
    state.take_control(POINT)
    state.take_status(status(point=40, source="settings"))
    assert _outcomes(state) == [("edge-1", "waiting")]


def test_a_budget_is_followed_where_name_and_value_are_told(state):
    state.take_control(BUDGET)
    told = {"mode": "budget", "point": None, "source": "setpoint", "set_points": 1}
    state.take_status(status(**told, budget={"name": "escalated_share", "value": 0.2}, measured=0.21))
    state.take_status(status("edge-2", **told, budget={"name": "escalated_share", "value": 0.3}))
    assert _outcomes(state) == [("edge-1", "follows"), ("edge-2", "waiting")]


def test_a_refusal_is_told_with_its_reason(state):
    state.take_control(POINT)
    state.take_status(status(refused="point 40: not calibrated", set_points=1))
    [answer] = state.acknowledgements
    assert (answer.outcome, answer.told) == ("refused", "point 40: not calibrated")


def test_a_budget_that_is_not_kept_is_followed_all_the_same(state):
    """What `error` says is no refusal, however it begins."""
    state.take_control(POINT)
    state.take_status(status(point=40, source="setpoint", error="set-point refused: no", set_points=1))
    [answer] = state.acknowledgements
    assert (answer.outcome, answer.told) == ("follows", "set-point refused: no")


def test_a_worker_that_is_away_does_not_answer(state):
    state.take_control(POINT)
    state.take_status(Status("offline", "edge-1", "digits@0"))
    assert _outcomes(state) == [("edge-1", "away")]


def test_what_was_told_before_a_set_point_was_sent_is_no_answer_to_it(state):
    refused = {"refused": "earlier", "set_points": 1}
    state.take_status(status(**refused))
    state.sending(POINT)
    assert _outcomes(state) == [("edge-1", "waiting")]
    state.take_control(POINT)  # the broker's echo
    assert _outcomes(state) == [("edge-1", "waiting")]
    state.take_status(status(**{**refused, "set_points": 2}))
    assert _outcomes(state) == [("edge-1", "refused")]


def test_the_position_is_the_mean_of_the_edge_workers_that_are_online(state):
    state.take_status(status(position=30.0))
    state.take_status(status("edge-2", position=40.0))
    state.take_status(status("edge-3", state="stopped", position=0.0))
    state.take_status(Status("online", "edge-4", "digits@0", None, {"position": "far"}))
    state.take_status(status("edge-5", position=10**400))
    assert state.position == 35.0


def test_no_more_than_256_workers_are_kept(state):
    for number in range(300):
        state.take_status(status(f"edge-{number}"))
    assert len(state.workers) == 256


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (None, ""),
        ({"mode": "fixed", "point": 3}, "point 3"),
        ({"mode": "fixed", "point": None}, "pinned thresholds"),
        (
            {"mode": "budget", "budget": {"name": "escalated_share", "value": 0.2}, "measured": 0.25, "position": 4.5},
            "escalated_share 0.2, now 0.25, at 4.5",
        ),
        ({"mode": "budget", "budget": {"name": "x", "value": "y"}}, "x ?"),
        ({"mode": "budget", "budget": {"name": "x" * 5000, "value": 10**400}, "position": 10**400}, "x" * 40 + " ?"),
        ({"mode": "fixed", "point": "y" * 5000}, "point " + "y" * 20),
    ],
)
def test_control_in_a_phrase(control, expected):
    assert control_text(control) == expected


@pytest.fixture(scope="module")
def curve():
    return PathCurve.of(bundles.load(bundles.resolve("digits")).manifest)


def test_a_position_between_two_points_lies_between_their_figures(curve):
    share, accuracy = curve.at(10.5)
    assert share == pytest.approx((curve.edge_share[10] + curve.edge_share[11]) / 2)
    assert accuracy == pytest.approx((curve.accuracy[10] + curve.accuracy[11]) / 2)
    assert curve.at(-3.0) == curve.at(0.0)
    assert curve.at(1e9) == curve.at(curve.last)


def test_the_live_curve_is_of_the_bundles_own_network_and_needs_some_samples(curve):
    def page(weight):
        return MetricsPage(
            f'dewpoint_cloud_what_if_weight_total{{network="{curve.network_id}"}} {weight}\n'
            f'dewpoint_cloud_what_if_left_weight_total{{network="{curve.network_id}",point="3"}} {weight / 2}\n'
            f'dewpoint_cloud_what_if_agreed_weight_total{{network="{curve.network_id}",point="3"}} {weight / 4}\n'
            'dewpoint_cloud_what_if_left_weight_total{network="other",point="4"} 100\n'
        )

    assert curve.measured([page(100)]) == ()
    [point] = curve.measured([page(100), page(300)])
    assert (point.point, point.edge_share, point.agreement) == (3, 0.5, 0.75)


def test_a_bundle_that_cannot_be_read_gives_no_curve():
    assert load_manifest("/nowhere/none.dew") is None
