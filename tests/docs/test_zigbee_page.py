"""The tutorial of a zigbee sensor without its training: its plugs, its recorder and its settings, to a label."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker, RedisServer
from services.settings import MqttSettings
from tests.conftest import WaitFor
from tests.docs.pages import DOCS, blocks, written
from tests.hybrid_model import small_readings
from tests.services.edge.publish.home_assistant import HomeAssistant
from tests.services.edge.site import ALL_LEAVE, Site

PAGE = DOCS / "tutorials" / "zigbee.md"
FILES = written(PAGE)
EDGE = tomllib.loads(FILES["site.toml"])["edge"]
#: Readings of a machine's cycle, and those of a window as the page trains it.
READINGS, LENGTH = 480, 16
WINDOWS = (READINGS - LENGTH) // EDGE["inputs"][0]["window"]["hop"] + 1


@pytest.fixture
def folder(mqtt_broker: Broker, tmp_path: Path) -> Path:
    """Where the page's programs lie, with settings that name the broker."""
    for name in ("plugs.py", "record.py"):
        (tmp_path / name).write_text(FILES[name])
    (tmp_path / "site.toml").write_text(f"[mqtt]\nport = {mqtt_broker.port}\n")
    return tmp_path


def play(folder: Path, *names: str) -> None:
    """One cycle of each machine."""
    subprocess.run([sys.executable, "plugs.py", *names], cwd=folder, env=os.environ, timeout=90, check=True)


@contextmanager
def heard(broker: Broker) -> Iterator[list[Delivery]]:
    """What zigbee2mqtt would publish meanwhile."""
    deliveries: list[Delivery] = []
    settings = MqttSettings(port=broker.port)
    filters = [Filter("zigbee2mqtt/+")]
    with MqttLink(settings, client_id="listener-2", filters=filters, listener=OnMessage(deliveries.append)):
        yield deliveries


def test_the_settings_of_the_page_make_windows_of_what_its_plugs_say(
    folder: Path, mqtt_broker: Broker, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    with (
        Site(mqtt_broker, redis_server, folder) as site,
        HomeAssistant(mqtt_broker) as home,
        heard(mqtt_broker) as messages,
    ):
        site.bundle = small_readings.save(folder / "small.dew", LENGTH, 3)
        site.start_edge(thresholds=ALL_LEAVE, inputs=EDGE["inputs"], home_assistant=EDGE["home_assistant"])
        play(folder, "laundry")
        wait_for(lambda: len(site.finals()) == WINDOWS, "a label for each window")
        wait_for(lambda: site.count("drops_total", reason="not_meant") == 5, "what was consumed is left alone")
        assert {device for device, _ in site.finals()} == {"laundry"}
        assert f"-ge {WINDOWS};" in PAGE.read_text()
        wait_for(lambda: home.devices, "the device in Home Assistant")
        assert home.message("laundry")["device"]["name"] == "laundry"
        [shown] = [block.text for block in blocks(PAGE) if block.note == "A plug"]
        assert shown.strip().encode() in [message.payload for message in messages]
        assert any(b"voltage" not in message.payload and b"power" in message.payload for message in messages)


def test_the_recorder_of_the_page_writes_a_row_with_all_values_for_each_reading(
    folder: Path, wait_for: WaitFor
) -> None:
    log = folder / "record.log"
    with log.open("wb") as file:
        recorder = subprocess.Popen([sys.executable, "record.py"], cwd=folder, stdout=file, stderr=file)
    try:
        wait_for(lambda: "recording" in log.read_text() or recorder.poll() is not None, "the recorder")
        play(folder, "laundry")
        table = folder / "plugs.csv"
        wait_for(lambda: len(table.read_text().splitlines()) > READINGS, "all readings")
    finally:
        recorder.kill()
        recorder.wait()
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == READINGS
    assert list(dict.fromkeys(row["label"] for row in rows)) == ["off", "heating", "washing", "spinning"]
    assert all(all(row.values()) for row in rows), "what a message lacks is what was known before"
