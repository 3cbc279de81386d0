"""What Home Assistant is told of a device: it takes the message, knows devices apart, and shows what labels say."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messages import DeviceAnnouncement, Label, Status, announcement_topic, label_topic, status_topic
from services.messages.home_assistant import announcement_id
from tests.services.messages.home_assistant_schema import Entity, availability, discovered

DEVICES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=256)
SITES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
FINAL = Label(
    id="s-1",
    device="cam",
    class_index=3,
    label="three",
    confidence=0.99251,
    exit=0,
    status="final",
    reason="confident",
    corrected=False,
    captured_at=1.0,
    decided_at=2.0,
    bundle="digits@d61f5070b921",
    energy_j=None,
    in_domain=True,
)
PROVISIONAL = dataclasses.replace(FINAL, label="eight", confidence=0.4, status="provisional", reason="escalated")
CLOUD = dataclasses.replace(FINAL, label="five", confidence=0.97, exit="cloud", reason="escalated", corrected=True)
CORRECTION = dataclasses.replace(CLOUD, label="six", status="correction")


def announced(**options: Any) -> dict[str, Any]:
    announcement = DeviceAnnouncement(**{"site": "home", "device": "cam", "worker": "edge-1", **options})
    topic = announcement_topic("homeassistant", announcement.site, announcement.device)
    return discovered(topic, announcement.encode())


def states(message: dict[str, Any], *labels: Label) -> list[dict[str, str]]:
    """The states of all entities after each label."""
    entities = {key: Entity(component) for key, component in message["components"].items()}
    return [{key: entity.take(label.encode()) for key, entity in entities.items()} for label in labels]


@given(site=SITES, device=DEVICES, corrected=st.booleans(), version=st.sampled_from(["", "1.2"]))
def test_home_assistant_takes_the_message_of_any_device(site: str, device: str, corrected: bool, version: str) -> None:
    message = announced(site=site, device=device, corrected=corrected, version=version)
    assert message["device"]["name"] == device
    assert message["state_topic"] == label_topic(site, device)
    assert message["availability_topic"] == status_topic(site, "edge-1")
    assert set(message["components"]) == {"class", "confidence", "exit"} | ({"corrected"} if corrected else set())
    ids = [component["unique_id"] for component in message["components"].values()]
    assert len(set(ids)) == len(ids)
    assert all("object_id" not in component for component in message["components"].values())


@given(pairs=st.lists(st.tuples(SITES, DEVICES), min_size=2, max_size=2, unique=True))
def test_no_two_devices_have_one_id_whatever_their_names(pairs: list[tuple[str, str]]) -> None:
    first, second = (announcement_id(*pair) for pair in pairs)
    assert first != second


@given(site=SITES, device=DEVICES)
def test_an_id_can_be_read_back(site: str, device: str) -> None:
    def read(part: str) -> str:
        return re.sub(rb"_([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), part.encode()).decode()

    marker, *parts = announcement_id(site, device).split("__")
    assert (marker, *map(read, parts)) == ("dewpoint", site, device)


@pytest.mark.parametrize(
    ("site", "device", "expected"),
    [
        ("home", "front-door", "dewpoint__home__front-door"),
        ("hall_3", "front_door", "dewpoint__hall_5F3__front_5Fdoor"),
        ("a_", "_b", "dewpoint__a_5F___5Fb"),
        ("home", "küche/1", "dewpoint__home__k_C3_BCche_2F1"),
    ],
)
def test_ids_of_plain_names_are_plain(site: str, device: str, expected: str) -> None:
    assert announcement_id(site, device) == expected


def test_entities_begin_with_ids_that_name_site_and_device() -> None:
    components = announced(site="hall-3", device="Front door", corrected=True)["components"]
    assert {component["default_entity_id"] for component in components.values()} == {
        "sensor.hall_3_front_door_class",
        "sensor.hall_3_front_door_confidence",
        "sensor.hall_3_front_door_exit",
        "binary_sensor.hall_3_front_door_corrected",
    }


def test_of_a_name_that_no_entity_id_can_hold_home_assistant_makes_one_itself() -> None:
    assert all("default_entity_id" not in each for each in announced(device="кухня")["components"].values())


def test_a_final_label_is_shown() -> None:
    assert states(announced(), FINAL) == [{"class": "three", "confidence": "99.25", "exit": "0"}]


def test_a_provisional_label_changes_nothing() -> None:
    unknown = {"class": "unknown", "confidence": "unknown", "exit": "unknown"}
    three = {"class": "three", "confidence": "99.25", "exit": "0"}
    assert states(announced(), PROVISIONAL, FINAL, PROVISIONAL) == [unknown, three, three]


def test_a_provisional_label_is_shown_where_that_is_asked_for() -> None:
    message = announced(shown=["final", "provisional"])
    provisional, cloud = states(message, PROVISIONAL, CLOUD)
    assert provisional == {"class": "eight", "confidence": "40.0", "exit": "0"}
    assert cloud == {"class": "five", "confidence": "97.0", "exit": "cloud"}


def test_corrections_are_shown_where_they_are_on() -> None:
    message = announced(shown=["final", "correction"], corrected=True)
    final, correction, after = states(message, FINAL, CORRECTION, PROVISIONAL)
    assert (final["class"], final["corrected"]) == ("three", "OFF")
    assert (correction["class"], correction["corrected"]) == ("six", "ON")
    assert after == correction


def test_an_answer_without_confidence_has_none() -> None:
    [first, second] = states(announced(), FINAL, dataclasses.replace(CLOUD, confidence=None))
    assert (first["confidence"], second["confidence"]) == ("99.25", "unknown")


def test_a_class_named_like_no_state_is_no_trouble() -> None:
    unknown = dataclasses.replace(FINAL, label="unavailable")
    assert states(announced(), unknown, PROVISIONAL, FINAL)[-1]["class"] == "three"


@pytest.mark.parametrize(("state", "available"), [("online", True), ("stopped", False), ("offline", False)])
def test_entities_are_available_while_the_worker_is_online(state: Any, available: bool) -> None:
    status = Status(state=state, worker="edge-1", bundle="digits@d61f5070b921")
    assert availability(announced(), status.encode()) is available


def test_the_same_announcement_always_gives_the_same_bytes() -> None:
    one = DeviceAnnouncement(site="home", device="cam", worker="edge-1", corrected=True, version="1")
    assert one.encode() == dataclasses.replace(one).encode()
