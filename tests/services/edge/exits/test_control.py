"""Exit control in an edge worker: set-points by a real broker, their acknowledgement, and what follows them."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import numpy as np
import pytest
import structlog

from hybrid_model.runtime import EdgeEngine
from services.edge.errors import EdgeError
from services.edge.exits.control import ExitControl
from services.edge.exits.mixing import decide
from services.messages import Budget, Control, Status, control_topic, status_topic
from services.metrics import EdgeMetrics
from services.settings import load
from tests.services.edge.site import ALL_LEAVE, SITE, WORKER, Site, network, pixels, sample
from tests.services.edge.stand_in import GuardedEngine

DIGITS = network("digits")
_CALIBRATION = DIGITS.manifest.calibration
assert _CALIBRATION is not None
assert _CALIBRATION.start is not None
assert _CALIBRATION.passed is not None
START, PASSED, WORKING = _CALIBRATION.start, _CALIBRATION.passed, _CALIBRATION.point
LAST = len(_CALIBRATION.path) - 1
#: A point that passed.
HOLDS = (START + PASSED) // 2
EVERYTHING = {"allow_uncalibrated": True}
SHARE = Control("budget", budget=Budget("escalated_share", 0.2))


@pytest.fixture
def site(mqtt_broker, redis_server, tmp_path):
    with Site(mqtt_broker, redis_server, tmp_path) as started:
        yield started


def send(site: Site, control: Control | bytes) -> None:
    """As an operator does."""
    payload = control if isinstance(control, bytes) else control.encode()
    assert site.devices.publish(control_topic(SITE), payload, qos=1, retain=True, timeout_s=5)
    assert site.devices.flush(timeout_s=10)


def told(site: Site) -> dict[str, Any]:
    """`control` of the latest status."""
    control = Status.decode(site.statuses[-1]).control if site.statuses else None
    return dict(control or {})


def alone(edge: dict[str, Any] | None = None, bundle: Any = DIGITS, **changes: Any) -> tuple[ExitControl, EdgeMetrics]:
    """Exit control of a bundle without a worker around it."""
    metrics = EdgeMetrics()
    settings = load(overrides={"edge": edge or {}}).edge
    engine = EdgeEngine(bundle)
    return ExitControl(settings=settings, manifest=bundle.manifest, engine=engine, metrics=metrics, **changes), metrics


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


# By a broker


def shown(metrics: EdgeMetrics, name: str, **labels: str) -> float | None:
    """A metric of the network."""
    labels |= {"network": DIGITS.manifest.network_id}
    return metrics.registry.get_sample_value(f"dewpoint_{name}", labels)


@pytest.mark.parametrize("mqtt_broker", ["nats", "mosquitto"], indirect=True)
def test_a_set_point_is_acknowledged_followed_and_taken_back(site, wait_for):
    site.start_edge(control=EVERYTHING)
    wait_for(lambda: told(site).get("source") == "settings", "the first status")
    assert told(site) | {"position": float(WORKING)} == {
        "mode": "fixed", "point": WORKING, "position": float(WORKING), "budget": None, "measured": None,
        "source": "settings", "calibrated": START <= WORKING <= PASSED, "refused": None, "error": None, "set_points": 0,
    }  # fmt: skip

    send(site, Control("fixed", 0))
    wait_for(lambda: told(site).get("set_points") == 1, "the acknowledgement")
    assert told(site)["point"] == 0
    assert told(site)["source"] == "setpoint"
    site.publish("camera", *(sample(number) for number in range(20)))
    wait_for(lambda: site.count("escalations_total", device="camera", again="no") == 20, "all of them to rise")
    assert site.count("exit_threshold", exit="0") == 0.0

    send(site, Control("fixed", LAST))
    wait_for(lambda: told(site).get("point") == LAST, "the acknowledgement")
    site.publish("camera", *(sample(number) for number in range(20, 40)))
    wait_for(lambda: site.count("exits_total", device="camera", exit="0", reason="confident") == 20, "all to leave")

    send(site, b"")
    wait_for(lambda: told(site).get("source") == "settings", "the settings again")
    assert told(site)["point"] == WORKING
    assert site.count("control_set_points_total", outcome="accepted") == 3


@pytest.mark.parametrize("mqtt_broker", ["nats", "mosquitto"], indirect=True)
def test_a_worker_that_starts_finds_the_set_point_that_is_retained_though_its_session_is_old(site, wait_for):
    send(site, Control("fixed", HOLDS))

    for _ in range(2):
        site.start_edge()
        wait_for(lambda: told(site).get("point") == HOLDS, "the set-point")
        assert told(site)["calibrated"] is True
        assert site.count("control_position") == HOLDS
        site.stop_edge()
        wait_for(lambda: Status.decode(site.statuses[-1]).state == "stopped", "its farewell")
        assert told(site) == {}


def test_what_cannot_be_followed_is_refused_counted_and_leaves_control_as_it_was(site, wait_for):
    site.start_edge()
    send(site, Control("fixed", HOLDS))
    wait_for(lambda: told(site).get("point") == HOLDS, "a first set-point")
    refused = (
        Control("fixed", 3),
        b"\xff garbage",
        b'{"mode":"budget"}',
        b'{"mode":"fixed","point":true}',
        b"x" * 5000,
    )

    for count, one in enumerate(refused, start=1):
        send(site, one)
        wait_for(lambda count=count: told(site).get("set_points") == 1 + count, "the refusal")
        assert told(site)["point"] == HOLDS
        assert told(site)["refused"]
        assert told(site)["error"] is None

    assert site.count("control_set_points_total", outcome="refused") == len(refused)
    site.publish("camera", sample(1))
    wait_for(lambda: site.finals() or site.heard, "the worker goes on")
    send(site, Control("fixed", HOLDS - 1))
    wait_for(lambda: told(site).get("point") == HOLDS - 1, "the next good one")
    assert told(site)["refused"] is None


def test_set_points_are_no_samples_and_are_acknowledged_to_the_broker(site, wait_for):
    site.start_edge()
    points = range(START, PASSED + 1)
    for point in points:
        send(site, Control("fixed", point))
    wait_for(lambda: told(site).get("set_points") == len(points), "all set-points")

    wait_for(lambda: site.count("messages_acknowledged_total") == len(points), "their acknowledgements")
    assert site.count("drops_total", reason="unknown_topic") == 0
    assert not site.heard


def test_pinned_thresholds_obey_no_set_point(site, wait_for):
    site.start_edge(thresholds=ALL_LEAVE)
    send(site, Control("fixed", HOLDS))
    wait_for(lambda: told(site).get("set_points") == 1, "the refusal")

    assert "edge.thresholds" in told(site)["refused"]
    assert told(site)["position"] is None
    site.publish("camera", *(sample(number) for number in range(5)))
    wait_for(lambda: len(site.finals()) == 5, "all to leave")


def test_while_a_budget_is_kept_the_status_says_how_it_fares(site, wait_for):
    site.start_edge(control=EVERYTHING | {"mode": "budget", "budget": "escalated_share", "value": 0.3})
    deadline = time.monotonic() + 30
    number = 0
    while told(site).get("measured") is None:
        assert time.monotonic() < deadline
        site.publish("camera", *(sample(number + one) for one in range(20)))
        number += 20

    assert told(site)["budget"] == {"name": "escalated_share", "value": 0.3}
    assert 0 <= told(site)["measured"] <= 1
    assert site.count("control_target", budget="escalated_share") == 0.3
    assert site.count("control_measured", budget="escalated_share") == pytest.approx(told(site)["measured"], abs=1)
    assert site.count("control_uncalibrated_seconds_total") > 0


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_after_the_broker_restarted_the_status_tells_the_set_point_again(site, wait_for):
    site.start_edge()
    send(site, Control("fixed", HOLDS))
    wait_for(lambda: told(site).get("point") == HOLDS, "the set-point")

    site.broker.stop()
    site.broker.start()

    wait_for(lambda: told(site).get("set_points", 0) >= 2, "the set-point that the broker kept", timeout_s=30)
    assert told(site)["point"] == HOLDS
    assert Status.decode(site.statuses[-1]).state == "online"


def test_the_topics_of_status_and_control_are_those_of_the_documents():
    assert control_topic(SITE) == "dewpoint/home/control"
    assert status_topic(SITE, WORKER) == "dewpoint/home/status/edge-1"


# Beside a broker


def test_between_two_points_each_sample_is_decided_by_one_of_them_as_the_engine_decides():
    exits, _ = alone({"control": EVERYTHING}, random=np.random.default_rng(3))
    exits.set_point(Control("fixed", 20).encode())
    exits._controller.position = 20.5
    batch = np.stack([pixels(number) for number in range(64)])

    result = exits.infer(batch)

    used = list(exits.in_force)
    path = DIGITS.manifest.calibration.path
    assert set(used) == {path[20].thresholds, path[21].thresholds}
    engine = EdgeEngine(DIGITS)
    for thresholds in set(used):
        rows = [row for row, one in enumerate(used) if one == thresholds]
        expected = engine.infer(batch[rows], thresholds=thresholds)
        np.testing.assert_array_equal(result.exit_index[rows], expected.exit_index)
        np.testing.assert_array_equal(result.class_index[rows], expected.class_index)
        np.testing.assert_array_equal(result.exit_scores[rows], expected.exit_scores)
        assert [result.features[row] for row in rows] == expected.features


@pytest.mark.parametrize("guard", [True, False])
def test_every_group_of_a_batch_is_guarded_as_the_settings_say(guard):
    engine = GuardedEngine(DIGITS)
    batch = np.stack([pixels(number) for number in range(16)] + [np.zeros((8, 8, 1), np.uint8)])
    thresholds = [(1e9,) if row % 2 else (-1.0,) for row in range(len(batch))]
    thresholds[-1] = (1e9,)

    result = decide(engine, batch, thresholds, np.array([one[0] > 0 for one in thresholds]).astype(int), guard=guard)

    assert engine.guards == [guard, guard]
    assert result.in_domain.tolist() == [True] * 16 + [False]
    assert result.exit_index.tolist() == [-1, 0] * 8 + [-1 if guard else 0]


def test_no_set_point_takes_the_guard_off():
    settings = load(overrides={"edge": {"control": EVERYTHING}}).edge
    engine = GuardedEngine(DIGITS)
    exits = ExitControl(settings=settings, manifest=DIGITS.manifest, engine=engine, metrics=EdgeMetrics())
    exits.set_point(Control("fixed", LAST).encode())

    result = exits.infer(np.zeros((1, 8, 8, 1), np.uint8))

    assert engine.guards == [True]
    assert result.exit_index.tolist() == [-1]


def test_the_budget_shrinks_while_the_queues_fill_and_it_is_shown():
    clock = Clock()
    exits, metrics = alone({"control": {"mode": "budget", "budget": "escalated_share", "value": 0.2}}, clock=clock)

    for fill in (0.0, 0.7, 0.95):
        clock.now += 1.0
        exits.tick(waiting=0, fill=fill)

    assert shown(metrics, "control_budget_factor") == 0.0


def test_a_budget_that_cannot_be_kept_is_told():
    clock = Clock()
    exits, metrics = alone({"control": {"mode": "budget", "budget": "escalations_per_s", "value": 0.0}}, clock=clock)
    batch = np.stack([pixels(number) for number in range(32)])  # noise, at which the network is at a loss
    exits._path._thresholds = [(-1.0,)] * (LAST + 1)  # whatever the position, all rise

    for _ in range(60):
        exits.infer(batch)
        clock.now += 1.0
        exits.tick(waiting=0, fill=0.0)

    assert exits.position == LAST
    assert f"the budget is not kept: the exits stand at the path's last point, {LAST}" in exits.status()["error"]
    assert shown(metrics, "control_saturated") == 1.0


def test_control_that_fails_leaves_the_exits_where_they_stand_and_the_worker_at_work(monkeypatch):
    clock = Clock()
    exits, _ = alone({"control": {"mode": "budget", "budget": "escalated_share", "value": 0.2}}, clock=clock)
    stands = exits.position

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("no such step")

    monkeypatch.setattr(exits._controller, "step", fail)
    clock.now += 5.0
    exits.tick(waiting=0, fill=0.0)

    assert exits.position == stands
    assert exits.status()["mode"] == "budget"


def test_the_log_tells_a_budget_by_name_and_value():
    exits, _ = alone({"control": EVERYTHING})
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with structlog.testing.capture_logs() as logs:
            exits.set_point(SHARE.encode())
            exits.set_point(Control("fixed", 40).encode())
    finally:
        structlog.configure(**before)
    fields = [(entry["mode"], entry["point"], entry["budget"], entry["value"]) for entry in logs]
    assert fields == [("budget", None, "escalated_share", 0.2), ("fixed", 40, None, None)]


def test_only_time_beside_the_calibrated_part_is_counted():
    clock = Clock()
    exits, metrics = alone({"control": {"point": HOLDS}}, clock=clock)
    clock.now += 10.0
    exits.tick(waiting=0, fill=0.0)
    assert shown(metrics, "control_uncalibrated_seconds_total") == 0.0

    exits, metrics = alone({"control": {"point": START - 1, **EVERYTHING}}, clock=clock)
    clock.now += 10.0
    exits.tick(waiting=0, fill=0.0)
    assert shown(metrics, "control_uncalibrated_seconds_total") == 10.0


def test_a_set_point_that_was_cleared_while_nobody_kept_our_session_ends():
    clock = Clock()
    exits, _ = alone(clock=clock)
    exits.set_point(Control("fixed", HOLDS).encode())

    exits.session_opened(session_present=True)
    clock.now += 60.0
    exits.tick(waiting=0, fill=0.0)
    assert exits.status()["source"] == "setpoint"

    exits.session_closed()
    exits.session_opened(session_present=False)
    exits.set_point(Control("fixed", HOLDS).encode())  # it is retained
    clock.now += 60.0
    exits.tick(waiting=0, fill=0.0)
    assert exits.status()["source"] == "setpoint"

    exits.session_closed()
    exits.set_point(Control("fixed", HOLDS).encode())  # a broker may send it before it acknowledges the subscription
    exits.session_opened(session_present=False)
    clock.now += 60.0
    exits.tick(waiting=0, fill=0.0)
    assert exits.status()["source"] == "setpoint"

    exits.session_closed()
    exits.session_opened(session_present=False)
    clock.now += 60.0
    exits.tick(waiting=0, fill=0.0)
    assert exits.status()["source"] == "settings"
    assert exits.position == WORKING


def test_a_new_budget_begins_where_the_exits_stand_and_the_old_one_is_no_longer_shown():
    exits, metrics = alone({"control": EVERYTHING})
    exits.set_point(Control("fixed", 10).encode())
    exits.set_point(SHARE.encode())
    assert exits.position == 10
    exits.tick(waiting=0, fill=0.0)

    exits.set_point(Control("budget", budget=Budget("latency_p99_ms", 100.0)).encode())

    assert exits.status()["budget"] == {"name": "latency_p99_ms", "value": 100.0}
    assert shown(metrics, "control_target", budget="escalated_share") is None
    assert shown(metrics, "control_target", budget="latency_p99_ms") == 100.0


def uncalibrated() -> Any:
    return DIGITS.__class__(DIGITS.manifest.model_copy(update={"calibration": None}), DIGITS.edge, None)


@pytest.mark.parametrize(
    ("edge", "says"),
    [
        ({"control": {"point": START - 1}}, f"only the points {START} to {PASSED} passed"),
        ({"control": {"point": LAST + 1, "allow_uncalibrated": True}}, f"points 0 to {LAST}"),
        ({"control": {"point": HOLDS}, "thresholds": [0.1]}, "edge.thresholds"),
        ({"thresholds": [0.1, 0.2]}, "digits has 1 exits"),
    ],
    ids=str,
)
def test_settings_that_the_bundle_cannot_follow_keep_the_worker_from_starting(edge, says):
    with pytest.raises(EdgeError, match=says):
        alone(edge)


def test_no_field_of_a_status_is_beyond_json():
    exits, _ = alone({"control": EVERYTHING | {"mode": "budget", "budget": "bytes_per_day", "value": 1e9}})
    exits.tick(waiting=0, fill=float("inf"))
    assert json.loads(json.dumps(exits.status(), allow_nan=False)) == exits.status()
