"""The examples in docs/how-to/inputs.md: settings and payload of the page, between real servers, to a label."""

from __future__ import annotations

import base64
import json
import re
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.messages import Label
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.docs.pages import DOCS, blocks
from tests.hybrid_model import small_readings
from tests.services.edge.site import ALL_LEAVE, Site

LENGTH = 4
EXAMPLES: dict[str, dict[str, Any]] = {}
for _block in blocks(DOCS / "how-to" / "inputs.md"):
    if _block.note is None:
        continue
    _name, _, _what = _block.note.partition(": ")
    _found = EXAMPLES.setdefault(_name, {})
    if _what == "settings":
        [_found["settings"]] = tomllib.loads(_block.text)["edge"]["inputs"]
    else:
        _found["topic"] = _what.removeprefix("payload of ").removesuffix(", in base64")
        _found["payload"] = base64.b64decode(_block.text) if "base64" in _what else _block.text.encode()

PICTURES = {"Frigate": "front_door", "ESP32-CAM": "gate", "Node-RED": "porch"}


def minutes_later(pattern: str) -> Callable[[bytes, int], bytes]:
    """The payload with the minutes of its time counted up."""

    def later(payload: bytes, number: int) -> bytes:
        def moved(found: re.Match[bytes]) -> bytes:
            return b"%b%02d%b" % (found[1], int(found[2]) + number, found[3])

        changed, count = re.subn(pattern.encode(), moved, payload)
        assert count
        return changed

    return later


#: Device, channels, time of the last row in the first window, and how each message differs from the one before.
READINGS: dict[str, tuple[str, int, float | None, Callable[[bytes, int], bytes]]] = {
    "zigbee2mqtt": ("cellar", 3, 1679051764.0, minutes_later(r"(T12:)(13)(:04)")),
    "Tasmota": ("th16", 2, 1520015283.0, minutes_later(r"(T18:)(25)(:03)")),
    "Shelly status": ("shellyplus1pm-a8032abe54dc", 4, None, lambda payload, number: payload),
    "Shelly events": (
        "shellypro4pm-f008d1d8b8b8",
        2,
        1631186548.04,
        lambda payload, number: payload.replace(b"1631186545.04", b"%.2f" % (1631186545.04 + number)),
    ),
    "The Things Network": ("dev-eu868-01", 2, 1779716711.204, minutes_later(r"(T13:)(42)(:11\.204)")),
}


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Any:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def test_every_example_is_tried() -> None:
    assert set(EXAMPLES) == {*PICTURES, *READINGS, "zigbee2mqtt attributes"}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_gets_its_label(name: str, site: Site, wait_for: WaitFor) -> None:
    example = EXAMPLES[name]
    site.start_edge(thresholds=ALL_LEAVE, inputs=[example["settings"]])
    assert site.devices.publish(example["topic"], example["payload"], qos=1, timeout_s=60)
    wait_for(site.finals, "the label")
    label = the_label(site)
    assert label.device == PICTURES[name]
    if name == "Node-RED":
        assert (label.id, label.captured_at) == ("a1b2c3d4e5f60718", 1700000000.25)
        assert site.devices.publish(example["topic"], example["payload"], qos=1, timeout_s=60)
        wait_for(lambda: site.count("messages_acknowledged_total") == 2, "the redelivery")
        assert len(site.finals()) == 1
    else:
        assert abs(label.captured_at - time.time()) < 60


@pytest.mark.parametrize("name", READINGS)
def test_readings_fill_a_window_and_it_gets_its_label(name: str, site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    example = EXAMPLES[name]
    device, channels, ended_t, later = READINGS[name]
    site.bundle = small_readings.save(tmp_path / "small.dew", LENGTH, channels)
    site.start_edge(thresholds=ALL_LEAVE, inputs=[example["settings"]])
    for number in range(LENGTH):
        assert site.devices.publish(example["topic"], later(example["payload"], number), qos=1, timeout_s=60)
    wait_for(site.finals, "the label")
    label = the_label(site)
    assert label.device == device
    if ended_t is not None:
        assert label.captured_at == pytest.approx(ended_t)
    assert site.count("window_tails_total", cause="gap") == 0


def test_messages_of_other_components_are_left_alone(site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    example = EXAMPLES["Shelly events"]
    site.bundle = small_readings.save(tmp_path / "small.dew", LENGTH, 2)
    site.start_edge(thresholds=ALL_LEAVE, inputs=[example["settings"]])
    other = {**json.loads(example["payload"]), "params": {"ts": 1624348482.25, "cloud": {"connected": False}}}
    for number in range(LENGTH):
        payload = READINGS["Shelly events"][3](example["payload"], number)
        for one in (payload, json.dumps(other).encode()):
            assert site.devices.publish(example["topic"], one, qos=1, timeout_s=60)
    wait_for(site.finals, "the label")
    wait_for(lambda: site.count("drops_total", reason="not_meant") == LENGTH, "the others")


def test_attributes_of_topics_of_their_own_are_joined(site: Site, tmp_path: Path, wait_for: WaitFor) -> None:
    """A row a minute is too slow for a test: here it is one in 20 ms, and held for as long as the page says."""
    example = EXAMPLES["zigbee2mqtt attributes"]
    settings = {**example["settings"], "join": {**example["settings"]["join"], "period_s": 0.02}}
    site.limits = {"reading_rows_max": 1_000_000}
    site.bundle = small_readings.save(tmp_path / "small.dew", LENGTH, 2)
    site.start_edge(thresholds=ALL_LEAVE, inputs=[settings])
    humidity = example["topic"].replace("temperature", "humidity")

    def labelled() -> bool:
        for topic, payload in ((example["topic"], example["payload"]), (humidity, b"55.43\n")):
            assert site.devices.publish(topic, payload, qos=1, timeout_s=60)
        return bool(site.finals())

    wait_for(labelled, "the label")
    assert {key[0] for key in site.finals()} == {"cellar"}


def the_label(site: Site) -> Label:
    [label] = site.finals().values()
    return label


def spoilt(payload: bytes) -> list[bytes]:
    """A payload cut short, of a wrong type, in another encoding, too deep, too large."""
    cut_short = [payload[: len(payload) * part // 7] for part in range(7)] + [payload[:-1]]
    deep = b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    found = [
        *cut_short,
        deep,
        b"[" * 1000,
        b'{"a": "' + b"x" * 10_000_000 + b'"}',
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b"\0" * 9,
    ]
    text = payload.decode(errors="ignore") if payload[:1] == b"{" else ""
    if text:
        wrong = [re.sub(r"(: )-?[\d.]+", rf"\g<1>{other}", text) for other in ('"x"', "[[1]]", "{}", "1e400", "null")]
        found += [one.encode() for one in wrong]
        found += [text.encode("utf-16")[:-2], b"\xef\xbb\xbf" + payload[:-2], text.encode("utf-16-be"), payload + b"}"]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)  # the other takes no payload of 10 MB
@pytest.mark.parametrize("name", EXAMPLES)
def test_whatever_comes_is_counted_by_reason_and_a_good_payload_is_labelled_after_it(
    name: str, site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    example = EXAMPLES[name]
    if name not in PICTURES:
        channels = READINGS[name][1] if name in READINGS else 2
        site.bundle = small_readings.save(tmp_path / "small.dew", LENGTH, channels)
    site.limits = {"payload_bytes_max": 16 << 20}
    site.start_edge(thresholds=ALL_LEAVE, inputs=[example["settings"]])
    payloads = spoilt(example["payload"])
    for payload in payloads:
        assert site.devices.publish(example["topic"], payload, qos=1, timeout_s=60)
    wait_for(lambda: site.count("messages_acknowledged_total") == len(payloads), "all are acknowledged", 60)
    assert site.worker.healthy
    drops = {
        sample.labels["reason"]: sample.value
        for family in site.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "dewpoint_drops_total" and sample.value
    }
    assert drops
    if name in PICTURES:
        assert sum(drops.values()) + len(site.finals()) == len(payloads)
        before = len(site.finals())
        fresh = example["payload"].replace(b"a1b2c3", b"a1b2c4")  # an id that no spoilt one has taken
        assert site.devices.publish(example["topic"], fresh, qos=1, timeout_s=60)
        wait_for(lambda: len(site.finals()) > before, "the label")
    elif name in READINGS:
        for number in range(LENGTH + 1):
            payload = READINGS[name][3](example["payload"], number)
            assert site.devices.publish(example["topic"], payload, qos=1, timeout_s=60)
        wait_for(site.finals, "the label")
