"""`dewpoint control`: a set-point sent, and what a real worker says to it, by a real broker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from services.budgets import BUDGETS
from services.cli import app, set_points
from services.messages import Control, control_topic
from services.mqtt import MqttError
from tests.services.edge.site import SITE, WORKER, Site
from tests.services.mqtt.proxy import Proxy


@pytest.fixture
def site(mqtt_broker, redis_server, tmp_path):
    with Site(mqtt_broker, redis_server, tmp_path) as started:
        started.start_edge()
        yield started


def run(site: Site, *arguments: str) -> Any:
    where = ("--site", SITE, "--port", str(site.broker.port))
    return CliRunner().invoke(app, ["control", *arguments, *where], catch_exceptions=False)


@pytest.mark.parametrize("mqtt_broker", ["nats", "mosquitto"], indirect=True)
def test_a_point_is_sent_acknowledged_shown_and_taken_back(site, tmp_path):
    ended = run(site, "--point", "45", "--json", str(tmp_path / "told.json"))
    assert ended.exit_code == 0, ended.output
    assert "accepted" in ended.output
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["set_point"] == {"mode": "fixed", "point": 45, "budget": None}
    assert [(one["worker"], one["outcome"]) for one in told["workers"]] == [(WORKER, "accepted")]
    assert told["workers"][0]["control"]["position"] == 45

    assert "point 45" in run(site, "--show").output
    assert "point 45" in run(site).output

    assert run(site, "--reset").exit_code == 0
    assert "point 38 (its settings)" in run(site, "--show").output


def test_a_budget_is_sent_and_kept(site):
    ended = run(site, "--budget", "escalations_per_s=3")
    assert ended.exit_code == 0
    assert "escalations_per_s=3" in ended.output


def test_a_worker_that_refuses_says_why_and_the_exit_status_tells(site):
    ended = run(site, "--point", "3")
    assert ended.exit_code == 1
    assert "refused" in ended.output
    assert "passed calibration" in " ".join(ended.output.split())


def test_a_worker_that_is_not_there_is_named(site):
    site.stop_edge()
    found = set_points.send(site.settings(), Control("fixed", 45), timeout_s=5.0)
    assert [(one.worker, one.outcome) for one in found] == [(WORKER, "away")]


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_of_a_set_point_whose_acknowledgement_does_not_come_nobody_says_that_it_failed(site, monkeypatch, wait_for):
    monkeypatch.setattr(set_points, "_PUBLISH_S", 0.3)
    with Proxy(site.broker.port) as proxy:
        monkeypatch.setattr(set_points._Listener, "listen", lambda _: setattr(proxy, "mute", True))
        settings = site.settings(mqtt={"port": proxy.port, "flush_timeout_s": 0.1})
        with pytest.raises(MqttError, match="whether it has the set-point is unknown"):
            set_points.send(settings, Control("fixed", 45), timeout_s=1.0)
    wait_for(lambda: b'"position":45' in site.statuses[-1], "and here it was taken")


def test_a_worker_that_does_not_answer_is_silent(site, wait_for):
    wait_for(lambda: site.statuses, "its first status")
    impostor = site.statuses[-1].replace(b'"worker":"edge-1"', b'"worker":"edge-2"')
    site.devices.publish(f"dewpoint/{SITE}/status/edge-2", impostor, retain=True, timeout_s=5)
    site.devices.publish(f"dewpoint/{SITE}/status/edge-3", b"\xff", retain=True, timeout_s=5)
    assert site.devices.flush(timeout_s=10)

    found = set_points.send(site.settings(), Control("fixed", 45), timeout_s=1.0)

    assert {one.worker: one.outcome for one in found} == {WORKER: "accepted", "edge-2": "silent"}


def test_where_nobody_is_there_the_set_point_waits(mqtt_broker, redis_server, tmp_path):
    with Site(mqtt_broker, redis_server, tmp_path) as site:
        ended = run(site, "--budget", "escalated_share=0.2")
        assert ended.exit_code == 0
        assert "no worker" in ended.output
        assert control_topic(SITE) == "dewpoint/home/control"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--point", "1", "--reset"), "take one of"),
        (("--budget", "latency=3"), "NAME=VALUE"),
        (("--budget", "escalated_share=-1"), "NAME=VALUE"),
        (("--budget", "escalated_share=nan"), "NAME=VALUE"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_told_before_anything_is_sent(arguments, says):
    ended = CliRunner().invoke(app, ["control", *arguments, "--port", "1"])
    assert ended.exit_code == 2
    assert says in ended.output


def test_the_command_names_every_budget():
    ended = CliRunner().invoke(app, ["control", "--budget", "watts=3", "--port", "1"])
    assert all(name in " ".join(ended.output.split()) for name in BUDGETS)
