"""Windowed inputs between real servers: windows over restarts, redeliveries, gaps and bad readings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.edge.journal.samples import Journal
from services.messages import window_id
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, SITE, Site

LENGTH, HOP, CHANNELS, ROWS = 128, 64, 9, 32
SENSOR: dict[str, Any] = {
    "thresholds": ALL_LEAVE,
    "inputs": [{"topic": "dewpoint/{site}/in/{device}", "kind": "sensor", "window": {"hop": HOP}}],
}
SIGNAL = np.random.default_rng(0).normal(size=(4096, CHANNELS)).round(4)


def readings(first: int, count: int = ROWS, *, t: float | None = None, mark: bool = True) -> bytes:
    body: dict[str, Any] = {"values": SIGNAL[first : first + count].tolist()}
    if mark:
        body["seq"] = first
    if t is not None:
        body["t"] = t
    return json.dumps(body).encode()


def ids(*firsts: int, epoch: int = 0, device: str = "phone") -> set[tuple[str, str]]:
    return {(device, window_id(device, epoch, first)) for first in firsts}


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path, name="har") as one:
        yield one


@pytest.mark.parametrize("mqtt_broker", ["nats", "mosquitto"], indirect=True)
def test_readings_become_overlapping_windows_with_ids_that_follow_from_them(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    site.publish("phone", *(readings(first) for first in range(0, 512, ROWS)))
    wait_for(lambda: len(site.finals()) == 7, "seven windows")
    assert set(site.finals()) == ids(0, 64, 128, 192, 256, 320, 384)
    assert len(site.heard) == 7


def test_a_window_begun_before_a_restart_is_finished_after_it(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    site.publish("phone", *(readings(first) for first in range(0, 96, ROWS)))
    wait_for(lambda: site.count("messages_acknowledged_total") == 3, "three messages")
    site.stop_edge()
    site.start_edge(**SENSOR)
    site.publish("phone", readings(96))
    wait_for(lambda: set(site.finals()) == ids(0), "the window")


def test_readings_that_come_again_are_known_also_after_a_restart(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    messages = [readings(first) for first in range(0, 128, ROWS)]
    site.publish("phone", *messages, messages[1])
    wait_for(lambda: site.count("samples_redelivered_total", state="reading") == 1, "the redelivery")
    site.stop_edge()
    site.start_edge(**SENSOR)
    site.publish("phone", messages[3], readings(128), readings(160))
    wait_for(lambda: set(site.finals()) == ids(0, 64), "both windows")
    assert site.count("samples_redelivered_total", state="reading") == 1
    assert site.count("window_epochs_total", device="phone") == 0


def test_a_publisher_that_starts_over_begins_a_new_epoch_with_ids_of_its_own(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    first = [readings(one, t=1000.0 + one / 50) for one in range(0, 128, ROWS)]
    second = [readings(one, t=5000.0 + one / 50) for one in range(0, 128, ROWS)]
    site.publish("phone", *first, *second)
    wait_for(lambda: set(site.finals()) == ids(0) | ids(0, epoch=1), "a window of each epoch")
    assert site.count("window_epochs_total", device="phone") == 1


def test_a_gap_starts_afresh_and_the_tail_is_counted_not_labelled(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    site.publish("phone", *(readings(first) for first in (0, 32, 64, 128, 160, 192, 224)))
    wait_for(lambda: set(site.finals()) == ids(128), "the window after the gap")
    assert site.count("window_tails_total", cause="gap") == 1


def test_a_rejected_reading_starts_afresh_once_however_often_it_comes(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    broken = b'{"seq": 64, "values": [1, 2, NaN]}'
    site.publish("phone", readings(0), readings(32), broken, readings(64), readings(96), broken)
    site.publish("phone", readings(128), readings(160))
    wait_for(lambda: set(site.finals()) == ids(64), "the window after the broken reading")
    assert site.count("drops_total", reason="not_finite") == 1
    assert site.count("window_tails_total", cause="rejected") == 1
    wait_for(lambda: site.count("messages_acknowledged_total") == 8, "all acknowledged")


def test_devices_have_windows_of_their_own(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    for first in range(0, 128, ROWS):
        site.publish("phone-1", readings(first))
        site.publish("phone-2", readings(first))
    wait_for(lambda: len(site.finals()) == 2, "a window each")
    assert set(site.finals()) == ids(0, device="phone-1") | ids(0, device="phone-2")


def test_readings_without_marks_become_windows_too(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    site.publish("phone", *(readings(first, mark=False) for first in range(0, 192, ROWS)))
    wait_for(lambda: set(site.finals()) == ids(0, 64), "both windows")


def test_a_window_is_dated_by_its_last_reading(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    site.publish("phone", *(readings(first, t=1000.0 + first / 50) for first in range(0, 128, ROWS)))
    wait_for(site.finals, "the window")
    assert site.heard[0].captured_at == pytest.approx(1000.0 + 127 / 50)


def hear(site: Site, wait_for: WaitFor, *messages: tuple[str, bytes]) -> None:
    """Publish for each device in turn, and wait until all is committed."""
    before = site.count("messages_acknowledged_total")
    for device, payload in messages:
        site.publish(device, payload)
    wait_for(lambda: site.count("messages_acknowledged_total") == before + len(messages), "all are acknowledged", 30)


def test_of_too_many_devices_the_one_that_is_silent_longest_is_forgotten(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR, window_devices_max=3)
    first = [(name, readings(0)) for name in ("phone-1", "phone-2", "phone-3")]
    hear(site, wait_for, *first, ("phone-1", readings(32)), ("phone-4", readings(0)))
    assert site.count("window_devices_evicted_total") == 1
    assert site.count("window_tails_total", cause="evicted") == 1
    for start in (32, 64, 96):
        hear(site, wait_for, *((name, readings(start)) for name in ("phone-3", "phone-4")))
    hear(site, wait_for, ("phone-1", readings(64)), ("phone-1", readings(96)))
    wait_for(lambda: len(site.finals()) == 3, "the windows of those that are left")
    left = ids(0, device="phone-1") | ids(0, device="phone-3") | ids(0, device="phone-4")
    assert set(site.finals()) == left
    assert site.count("window_devices_evicted_total") == 1
    hear(site, wait_for, *(("phone-2", readings(first)) for first in range(32, 160, ROWS)))
    wait_for(lambda: len(site.finals()) == 4, "a window of the one that comes back")
    assert set(site.finals()) == left | ids(32, epoch=1, device="phone-2"), "it begins anew"


def test_a_forgotten_device_that_comes_back_begins_an_epoch_of_its_own_also_after_a_restart(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(**SENSOR, window_devices_max=1)
    hear(site, wait_for, *(("phone", readings(first)) for first in range(0, 128, ROWS)), ("tablet", readings(0)))
    site.stop_edge()
    site.start_edge(**SENSOR, window_devices_max=1)
    # The same marks with other readings, as of a publisher that starts over: in epoch 0 an id would be used again.
    again = [readings(first, t=5000.0 + first / 50) for first in range(0, 128, ROWS)]
    hear(site, wait_for, *(("phone", payload) for payload in again))
    wait_for(lambda: len(site.finals()) == 2, "both windows")
    assert set(site.finals()) == ids(0) | ids(0, epoch=1)


def test_devices_that_somebody_makes_up_leave_neither_states_nor_marks_without_bound(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(**SENSOR, window_devices_max=10)
    hear(site, wait_for, *((f"made-up-{number}", readings(0)) for number in range(300)))
    stored = site.edge.journal.windows
    assert (stored.devices, stored.marks) == (10, 10)
    assert site.count("window_devices_evicted_total") == 290
    site.stop_edge()
    with Journal(site.folder / "spool" / "journal.sqlite") as journal:
        found = [n for n in range(300) if journal.windows.of(f"made-up-{n}", channels=CHANNELS).high is not None]
        assert found == list(range(290, 300))
        assert (journal.windows.devices, journal.windows.marks) == (10, 10)


def test_a_topic_of_the_site_without_a_device_is_rejected(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**SENSOR)
    assert site.devices.publish(f"dewpoint/{SITE}/in/%FF", readings(0))
    wait_for(lambda: site.count("drops_total", reason="bad_device") == 1, "the rejection")
