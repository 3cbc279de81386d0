"""Devices appear in Home Assistant and go again: a real worker, a real broker, and what Home Assistant would hear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.messages import Label, announcement_topic
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor, require_server
from tests.services.edge.processes import edge_process
from tests.services.edge.publish.guarded import Guarded
from tests.services.edge.publish.home_assistant import HomeAssistant
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, WORKER, Site, sample, says

ON = {"enabled": True}


@pytest.fixture
def site(each_mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(each_mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def home(site: Site) -> Iterator[HomeAssistant]:
    with HomeAssistant(site.broker) as one:
        yield one


def noted(site: Site) -> dict[str, str]:
    """What the spool says is announced."""
    found: dict[str, str] = json.loads((site.folder / "spool" / "announced.json").read_text())
    return found


def announce(site: Site, home: HomeAssistant, wait_for: WaitFor, *devices: str, **edge: Any) -> None:
    """Start a worker, and let each device have a label and be announced."""
    site.start_edge(thresholds=ALL_LEAVE, **{"home_assistant": ON, **edge})
    for number, device in enumerate(devices):
        site.publish(device, sample(number))
    wait_for(lambda: len(home.devices) == len(devices), "the devices")
    wait_for(lambda: counted(site, "announced") == len(devices), "the acknowledgements")


def counted(site: Site, outcome: str) -> float:
    return site.count("home_assistant_messages_total", outcome=outcome)


def test_a_device_is_announced_once_it_has_a_label_and_its_entities_follow_the_labels(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    announce(site, home, wait_for, "cam", "hall/küche 1")
    assert home.message("hall/küche 1")["device"]["name"] == "hall/küche 1"
    site.publish("cam", sample(7))
    wait_for(lambda: ("cam", "s-7") in site.finals(), "the label")
    label = site.finals()["cam", "s-7"]
    wait_for(lambda: home.state("cam", "class") == label.label, "the class")
    assert float(home.state("cam", "confidence")) == pytest.approx(100 * (label.confidence or 0), abs=0.006)
    assert (home.state("cam", "exit"), home.state("hall/küche 1", "class")) == ("0", "unknown")
    assert len(home.sent) == 2, "each is announced once, however many labels there are"


def test_nothing_is_announced_unless_it_is_switched_on(site: Site, home: HomeAssistant, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", *map(sample, range(5)))
    wait_for(lambda: len(site.finals()) == 5, "the labels")
    wait_for(lambda: site.edge.journal.counts["done"] == 5, "the worker is through")
    assert home.sent == []
    assert not (site.folder / "spool" / "announced.json").exists()


def test_when_home_assistant_starts_it_is_told_again_also_of_devices_that_are_silent(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    announce(site, home, wait_for, "cam", "silent")
    site.stop_edge()
    site.start_edge(thresholds=ALL_LEAVE, home_assistant=ON)
    wait_for(lambda: counted(site, "announced") == 2, "at its start a worker tells of what it has announced before")
    home.says(b"offline")
    home.says(b"online")
    wait_for(lambda: counted(site, "announced") == 4, "both again")
    wait_for(lambda: len(home.sent) == 6, "what was sent")
    assert [home.sent.count(one) for one in dict.fromkeys(home.sent)] == [3, 3], "the same bytes each time"


def test_switched_off_the_next_start_removes_what_was_announced(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    announce(site, home, wait_for, "cam", "hall/1")
    assert sorted(noted(site).values()) == ["cam", "hall/1"]
    site.stop_edge()
    site.start_edge(thresholds=ALL_LEAVE)
    wait_for(lambda: home.devices == {}, "both are gone")
    wait_for(lambda: noted(site) == {}, "nothing is left to be removed")
    assert counted(site, "withdrawn") == 2
    with HomeAssistant(site.broker) as later:
        later.says(b"online")
        site.publish("cam", sample(9))
        wait_for(lambda: ("cam", "s-9") in site.finals(), "the label")
        assert later.devices == {}


def test_what_is_excluded_is_removed_and_the_others_stay(site: Site, home: HomeAssistant, wait_for: WaitFor) -> None:
    announce(site, home, wait_for, "cam", "gone")
    site.stop_edge()
    site.start_edge(thresholds=ALL_LEAVE, home_assistant={**ON, "exclude": ["gone"]})
    wait_for(lambda: list(noted(site).values()) == ["cam"], "one is removed")
    site.publish("gone", sample(8))
    wait_for(lambda: ("gone", "s-8") in site.finals(), "its label, as ever")
    wait_for(lambda: site.edge.journal.counts["done"] == 3, "the worker is through")
    assert list(home.devices) == [announcement_topic("homeassistant", SITE, "cam")]
    assert site.count("home_assistant_labels_beyond_total") == 0, "it is not one too many"


def test_another_prefix_moves_the_devices(site: Site, home: HomeAssistant, wait_for: WaitFor) -> None:
    announce(site, home, wait_for, "cam")
    site.stop_edge()
    with HomeAssistant(site.broker, "ha/test") as moved:
        site.start_edge(thresholds=ALL_LEAVE, home_assistant={**ON, "prefix": "ha/test"})
        wait_for(lambda: home.devices == {}, "it is removed where it was")
        site.publish("cam", sample(5))
        wait_for(lambda: moved.devices, "it is announced there")
        assert moved.message("cam")["device"]["name"] == "cam"


def test_no_more_devices_are_announced_than_the_bound_and_the_labels_of_others_are_counted(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE, home_assistant={**ON, "devices_max": 2})
    for number in range(6):
        site.publish(f"cam-{number % 3}", sample(number))
    wait_for(lambda: len(site.finals()) == 6, "labels of all")
    wait_for(lambda: site.count("home_assistant_labels_beyond_total") == 2, "both labels of the third")
    wait_for(lambda: len(home.devices) == 2, "two are announced")
    wait_for(lambda: counted(site, "announced") == 2, "and counted")


def test_corrections_have_an_entity_only_where_they_are_on(site: Site, home: HomeAssistant, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, correction=True, home_assistant={**ON, "provisional": True})
    site.publish("cam", sample(1))
    wait_for(lambda: home.devices, "it is announced with its provisional label")
    assert "corrected" in home.message("cam")["components"]
    site.publish("cam", sample(2))
    wait_for(lambda: len(site.heard) == 2, "both provisional labels")
    [edge] = [one for one in site.heard if one.id == "s-2"]
    wait_for(lambda: home.state("cam", "class") == edge.label, "the provisional class is shown")
    with site.cloud() as cloud:
        cloud.answer(1, says((site.heard[0].class_index + 1) % 10))
        wait_for(lambda: len(site.finals()) == 1, "a final label")
    wait_for(lambda: home.state("cam", "corrected") == "ON", "the answer differs")


def test_discovery_that_has_no_room_is_sent_later_and_holds_up_no_label(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    site.start_edge(mqtt={"inflight_max": 1}, thresholds=ALL_LEAVE, home_assistant=ON)
    for number in range(40):
        site.publish(f"cam-{number % 20}", sample(number))
    wait_for(lambda: len(site.finals()) == 40, "every label")
    wait_for(lambda: len(home.devices) == 20, "every device")


def test_discovery_that_the_broker_refuses_is_sent_again_and_holds_up_no_label(
    redis_server: RedisServer, tmp_path: Path, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.announcements._PAUSE_S", 0.2)
    with (
        require_server(
            lambda: Guarded(tmp_path / "broker", "topic readwrite dewpoint/#", "topic read homeassistant/#")
        ) as broker,
        Site(broker, redis_server, tmp_path) as site,
        HomeAssistant(broker) as home,
    ):
        site.start_edge(thresholds=ALL_LEAVE, home_assistant=ON)
        site.publish("cam", sample(1))
        wait_for(lambda: len(site.finals()) == 1, "the label")
        wait_for(lambda: counted(site, "refused") >= 3, "refusals")
        assert (home.devices, counted(site, "announced")) == ({}, 0)
        broker.allow("topic write homeassistant/device/+/config")
        wait_for(lambda: home.devices, "the device")


def test_a_spool_that_cannot_be_written_delays_the_announcement_and_no_label(
    site: Site, home: HomeAssistant, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.announcements._PAUSE_S", 0.2)
    site.start_edge(thresholds=ALL_LEAVE, home_assistant=ON)
    in_the_way = site.folder / "spool" / "announced.json.new"
    in_the_way.mkdir()
    site.publish("cam", sample(1))
    wait_for(lambda: len(site.finals()) == 1, "the label")
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the worker is through")
    assert home.sent == [], "what is not noted could not be withdrawn"
    in_the_way.rmdir()
    wait_for(lambda: home.devices, "the device")


@pytest.mark.parametrize("each_mqtt_broker", ["mosquitto"], indirect=True)
def test_entities_are_unavailable_when_the_worker_is_killed_and_available_when_it_is_back(
    site: Site, home: HomeAssistant, tmp_path: Path, wait_for: WaitFor
) -> None:
    with edge_process(site, tmp_path / "spool", {"thresholds": ALL_LEAVE, "home_assistant": ON}) as worker:
        wait_for(worker.online, "the worker is online", 60)
        site.publish("cam", sample(1))
        wait_for(lambda: home.devices, "the device")
        [topic] = home.devices
        assert home.devices[topic]["availability_topic"] == f"dewpoint/{SITE}/status/{WORKER}"
        with HomeAssistant(site.broker) as started:  # it hears what is retained, as it does when it starts
            wait_for(lambda: started.devices, "what is retained")
            worker.kill()
            wait_for(lambda: started.available.get(topic) is False, "the will")
            worker.start()
            wait_for(lambda: started.available[topic] is True, "the worker is back", 60)
            worker.stop()
            wait_for(lambda: started.available[topic] is False, "it was stopped")


def test_a_worker_that_is_killed_before_it_could_remove_a_device_removes_it_later(
    site: Site, home: HomeAssistant, wait_for: WaitFor
) -> None:
    announce(site, home, wait_for, "cam")
    site.stop_edge()
    topic = announcement_topic("homeassistant", SITE, "cam")
    (site.folder / "spool" / "announced.json").write_text(json.dumps({topic: ""}))  # as it is noted meanwhile
    site.start_edge(thresholds=ALL_LEAVE, home_assistant=ON)
    wait_for(lambda: home.devices == {}, "it is removed")
    site.publish("cam", sample(3))
    wait_for(lambda: home.devices, "and announced with its next label")
    assert Label.decode(site.raw[-1]).device == "cam"
