"""Several networks in one worker: each with its inputs, exits, streams and set-points, between real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hybrid_model import bundle
from hybrid_model.bundle import BundleError
from services.cli import app, set_points
from services.edge.errors import EdgeError
from services.messages import Budget, Control, Label, Status, window_id
from services.servers import Broker, RedisServer
from services.settings import SettingsError, load
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, WORKER, Site, fails, network, sample, says
from tests.services.edge.test_worker_windows import CHANNELS, LENGTH, readings

DIGITS, HAR = network("digits").manifest, network("har").manifest
CAMERA = {"topic": "dewpoint/{site}/in/{device}"}
SENSOR = {"topic": "dewpoint/{site}/vibration/{device}", "kind": "sensor", "bundle": "har"}


def both(**edge: Any) -> dict[str, Any]:
    return {"inputs": [CAMERA, SENSOR], **edge}


def of_network(**own: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"bundle": name, **settings} for name, settings in own.items()]


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def vibrate(site: Site, device: str, *firsts: int) -> None:
    for first in firsts:
        topic = f"dewpoint/{SITE}/vibration/{device}"
        assert site.devices.publish(topic, readings(first, LENGTH), qos=1, timeout_s=60)
    assert site.devices.flush(timeout_s=60)


def labels_of(site: Site, manifest: Any) -> dict[str, Label]:
    return {one.id: one for one in site.finals().values() if one.bundle == f"{manifest.name}@{manifest.network_id}"}


def test_every_input_is_answered_by_its_own_network(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(thresholds=ALL_LEAVE))
    site.publish("cam", sample(1), sample(2))
    vibrate(site, "motor", 0, LENGTH)
    wait_for(lambda: len(site.finals()) == 4, "four labels")
    assert {one.label in DIGITS.classes for one in labels_of(site, DIGITS).values()} == {True}
    assert {one.label in HAR.classes for one in labels_of(site, HAR).values()} == {True}
    assert [len(labels_of(site, each)) for each in (DIGITS, HAR)] == [2, 2]


def test_a_micro_batch_of_both_is_answered_as_each_alone_would_be(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", *(sample(number) for number in range(8)))
    wait_for(lambda: len(site.finals()) == 8, "the labels of one network alone")
    alone = {one.id: (one.label, one.confidence, one.exit) for one in site.finals().values()}
    site.stop_edge()
    site.heard.clear()

    site.start_edge(**both(thresholds=ALL_LEAVE, linger_ms=500, spool=site.folder / "another"))
    vibrate(site, "motor", 0)
    site.publish("cam", *(sample(number) for number in range(8)))
    wait_for(lambda: len(site.finals()) == 9, "all labels")

    together = labels_of(site, DIGITS).values()
    assert {one.id: (one.label, one.confidence, one.exit) for one in together} == alone


def test_each_rises_in_its_own_streams_and_is_answered_there(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(thresholds=ALL_RISE))
    site.publish("cam", sample(1))
    vibrate(site, "motor", 0)
    with site.cloud() as cloud:
        risen = cloud.answer(2, says(1))
    wait_for(lambda: len(site.finals()) == 2, "both answers")
    assert {one.network_id for one in risen} == {DIGITS.network_id, HAR.network_id}
    assert {one.exit for one in site.finals().values()} == {"cloud"}
    [digit], [vibration] = labels_of(site, DIGITS).values(), labels_of(site, HAR).values()
    assert (digit.label, vibration.label) == (DIGITS.classes[1], HAR.classes[1])


def test_after_redis_lost_everything_each_sample_rises_again_once(
    site: Site, wait_for: WaitFor, redis_server: RedisServer
) -> None:
    site.start_edge(**both(thresholds=ALL_RISE))
    site.publish("cam", *(sample(number) for number in range(3)))
    vibrate(site, "motor", 0, LENGTH)
    wait_for(lambda: site.count("journal_rows", state="waiting") == 5, "five waiting rows")
    for device, count in (("cam", 3), ("motor", 2)):
        wait_for(
            lambda device=device, count=count: (  # type: ignore[misc]
                site.count("escalations_total", device=device, again="no") == count
            ),
            f"the samples of {device} sent up",
        )
    redis_server.stop()
    redis_server.wipe()
    redis_server.start()
    with site.cloud() as cloud:
        again = cloud.answer(5, says(0))
    wait_for(lambda: len(site.finals()) == 5, "all answers")
    assert {one.attempt for one in again} == {2}
    assert site.count("escalations_total", device="cam", again="yes") == 3
    assert site.count("escalations_total", device="motor", again="yes") == 2


def test_what_waits_for_one_network_is_answered_after_a_restart(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(thresholds=ALL_RISE))
    site.publish("cam", sample(1))
    vibrate(site, "motor", 0)
    wait_for(lambda: site.count("journal_rows", state="waiting") == 2, "two waiting rows")
    site.stop_edge()
    with site.cloud() as cloud:
        site.start_edge(**both(thresholds=ALL_RISE))
        cloud.answer(2, says(1))
        wait_for(lambda: len(site.finals()) == 2, "both answers")


def test_rows_of_a_network_that_is_no_longer_run_are_answered_too(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(thresholds=ALL_RISE))
    vibrate(site, "motor", 0)
    wait_for(lambda: site.count("journal_rows", state="waiting") == 1, "a waiting row")
    site.stop_edge()
    site.start_edge(thresholds=ALL_RISE)
    with site.cloud() as cloud:
        cloud.answer(1, says(1))
    wait_for(lambda: len(site.finals()) == 1, "its answer")
    assert next(iter(labels_of(site, HAR).values())).label == HAR.classes[1]


def test_a_sample_that_failed_keeps_the_label_of_its_own_network(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(thresholds=ALL_RISE))
    vibrate(site, "motor", 0)
    with site.cloud() as cloud:
        cloud.answer(1, fails("no memory"))
    wait_for(lambda: len(site.finals()) == 1, "its final label")
    [label] = labels_of(site, HAR).values()
    assert (label.reason, label.label in HAR.classes) == ("failed", True)


def test_one_device_may_send_to_both(site: Site, wait_for: WaitFor) -> None:
    """Its windows are kept apart by network: those of the first are stored and named as if it were the only one."""
    other = {"topic": "dewpoint/{site}/second/{device}", "kind": "sensor", "bundle": "har"}
    first = {"topic": "dewpoint/{site}/first/{device}", "kind": "sensor", "bundle": str(_trained_anew(site, "har"))}
    site.start_edge(thresholds=ALL_LEAVE, inputs=[first, other])
    for part in range(0, LENGTH, 32):
        for room in ("first", "second"):
            topic = f"dewpoint/{SITE}/{room}/motor"
            assert site.devices.publish(topic, readings(part, 32), qos=1, timeout_s=60)
    wait_for(lambda: len(site.finals()) == 2, "a window of each")
    ids = {one.id for one in site.finals().values()}
    assert window_id("motor", 0, 0) in ids
    assert site.count("window_epochs_total", device="motor") == 0
    assert len({one.bundle for one in site.finals().values()}) == 2


def _trained_anew(site: Site, name: str) -> Path:
    """A network of the same kind with one other weight in its cloud half."""
    found = bundle.load(bundle.resolve(name), cloud=True)
    cloud = {key: tensor.copy() for key, tensor in found.cloud.items()}
    next(iter(cloud.values())).flat[0] += 1
    path = site.folder / "other.dew"
    bundle.save(path, found.manifest, edge=found.edge, cloud=cloud)
    return path


def test_each_has_its_own_settings_where_they_are_given(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both(networks=of_network(digits={"thresholds": ALL_LEAVE}, har={"thresholds": ALL_RISE})))
    site.publish("cam", sample(1))
    vibrate(site, "motor", 0)
    wait_for(lambda: len(site.heard) == 2, "a final and a provisional label")
    assert {one.device: one.status for one in site.heard} == {"cam": "final", "motor": "provisional"}


def test_a_set_point_of_the_site_is_for_all_and_a_networks_own_goes_before_it(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both())
    share = Control("budget", budget=Budget("escalated_share", 0.2))

    def follow() -> dict[str, str | None]:
        told = Status.decode(site.statuses[-1]).networks if site.statuses else None
        return {name: (one["budget"] or {}).get("name") or one["point"] for name, one in (told or {}).items()}

    set_points.send(site.settings(), share, timeout_s=10)
    wait_for(lambda: follow() == {"digits": "escalated_share", "har": "escalated_share"}, "both on the site's")

    passed = DIGITS.calibration.passed
    answers = set_points.send(site.settings(), Control("fixed", passed), timeout_s=10, network="digits")
    assert [(one.worker, one.network, one.outcome) for one in answers] == [(WORKER, "digits", "accepted")]
    wait_for(lambda: follow() == {"digits": passed, "har": "escalated_share"}, "one on its own")

    answers = set_points.send(site.settings(), share, timeout_s=10)
    assert {(one.network, one.outcome) for one in answers} == {("digits", "accepted"), ("har", "accepted")}
    wait_for(lambda: follow() == {"digits": passed, "har": "escalated_share"}, "its own goes before the site's")

    set_points.send(site.settings(), None, timeout_s=10, network="digits")
    wait_for(lambda: follow() == {"digits": "escalated_share", "har": "escalated_share"}, "the site's again")

    shown = CliRunner().invoke(app, ["control", "--site", SITE, "--port", str(site.broker.port)])
    assert "edge-1 digits" in shown.output
    assert "edge-1 har" in shown.output


def test_retained_set_points_hold_after_a_restart_whatever_their_order(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**both())
    passed = HAR.calibration.passed
    set_points.send(site.settings(), Control("fixed", passed), timeout_s=10, network="har")
    set_points.send(site.settings(), Control("budget", budget=Budget("escalated_share", 0.2)), timeout_s=10)
    site.stop_edge()
    site.statuses.clear()
    site.start_edge(**both(), spool=site.folder / "another")

    def told() -> list[Any]:
        statuses = [Status.decode(one) for one in site.statuses]
        networks = [one.networks for one in statuses if one.networks]
        return [(one["source"], one["point"]) for one in networks[-1].values()] if networks else []

    wait_for(lambda: told() == [("setpoint", None), ("setpoint", passed)], "both set-points")


def test_a_worker_with_one_network_says_what_it_always_said(site: Site, wait_for: WaitFor) -> None:
    site.start_edge()
    wait_for(lambda: site.statuses, "its status")
    told = json.loads(site.statuses[-1])
    assert list(told) == ["state", "worker", "bundle", "kernel", "control", "instance"]
    assert site.metrics.registry.get_sample_value(
        "dewpoint_network_info", {"network": DIGITS.network_id, "bundle": "digits"}
    )


@pytest.mark.parametrize(
    ("edge", "error", "says_what"),
    [
        ({"inputs": [{**SENSOR, "bundle": "/no/such.dew"}]}, BundleError, "/no/such.dew"),
        (
            {"inputs": [{**CAMERA, "kind": "sensor"}, SENSOR]},
            EdgeError,
            "in/{device}: the bundle takes",
        ),
        ({"inputs": [{**SENSOR, "kind": "image"}]}, EdgeError, "which no picture is"),
        ({"inputs": [CAMERA, SENSOR], "networks": of_network(cifar10={})}, SettingsError, "only by digits, har"),
        (
            {"inputs": [CAMERA, SENSOR], "networks": of_network(har={"thresholds": [0.1, 0.2]})},
            EdgeError,
            "har has 1 exits",
        ),
    ],
    ids=str,
)
def test_what_cannot_go_together_is_told_at_the_start(
    site: Site, edge: dict[str, Any], error: type[Exception], says_what: str
) -> None:
    with pytest.raises(error, match=says_what.replace("{", r"\{").replace("}", r"\}")):
        site.start_edge(**edge)


def test_doctor_looks_at_every_network_and_its_inputs(tmp_path: Path) -> None:
    from services.cli import doctor

    edge = {"inputs": [CAMERA, SENSOR, {**SENSOR, "topic": "x/{device}", "kind": "image"}]}
    findings = list(doctor._bundle(load(overrides={"edge": {"spool": tmp_path, **edge}})))
    told = [(one.subject, one.state) for one in findings]
    assert told.count(("bundle", "good")) == 2
    [wrong] = [one for one in findings if one.state == "wrong"]
    assert "x/{device}" in wrong.detail
    assert HAR.input.shape[2] == CHANNELS
