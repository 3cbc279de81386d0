"""Channels by topics of their own, and values that are held, between real servers: over restarts and redeliveries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.edge.journal.samples import Journal
from services.messages import window_id
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.hybrid_model import small_readings
from tests.services.edge.site import ALL_LEAVE, Site

LENGTH = 4
#: Long ago, and whole.
T = 1_700_000_000


def settings(join: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    takes = {
        "topic": "hall/{device}/{channel}",
        "kind": "sensor",
        "fields": {"values": ["v"], "time": "at", **fields},
        "join": {"hold_s": 3.0, **(join or {})},
    }
    return {"thresholds": ALL_LEAVE, "inputs": [takes]}


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        one.bundle = small_readings.save(tmp_path / "small.dew", LENGTH, 2, names=["temp", "hum"], rate_hz=1.0)
        yield one


def value(channel: str, t: float, v: Any, device: str = "cellar") -> tuple[str, bytes]:
    return f"hall/{device}/{channel}", json.dumps({"v": v, "at": t}).encode()


def send(site: Site, wait_for: WaitFor, *messages: tuple[str, bytes]) -> None:
    """Publish, and wait until all of it is committed."""
    before = site.count("messages_acknowledged_total")
    for topic, payload in messages:
        assert site.devices.publish(topic, payload, qos=1, timeout_s=60)
    wait_for(lambda: site.count("messages_acknowledged_total") == before + len(messages), "all are acknowledged", 30)


def told(site: Site) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {key: (one.class_index, one.confidence, one.captured_at) for key, one in site.finals().items()}


#: Each channel at its own pace, one of them out of order.
STREAM = [
    value("temp", T + 0.0, 20), value("hum", T + 0.1, 50), value("temp", T + 1.4, 21), value("hum", T + 2.9, 52),
    value("temp", T + 2.2, 22), value("temp", T + 4.0, 23), value("hum", T + 5.2, 51), value("temp", T + 6.1, 20),
    value("hum", T + 7.3, 49), value("temp", T + 8.2, 24), value("hum", T + 9.6, 50), value("temp", T + 12.0, 24),
]  # fmt: skip
WINDOWS = {("cellar", window_id("cellar", 0, T + first)) for first in (1, 5)}


def test_channels_of_several_topics_become_windows(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**settings({"late_s": 1.0}))
    send(site, wait_for, *STREAM)
    wait_for(lambda: set(site.finals()) == WINDOWS, "both windows")
    assert sorted(one.captured_at for one in site.finals().values()) == [T + 4, T + 8]


def test_a_restart_changes_no_label_wherever_it_comes(site: Site, wait_for: WaitFor, tmp_path: Path) -> None:
    site.start_edge(**settings({"late_s": 1.0}))
    send(site, wait_for, *STREAM)
    wait_for(lambda: len(site.finals()) == 2, "both windows")
    wanted = told(site)
    for at in (1, 4, 7, 10):
        site.stop_edge()
        site.heard.clear()
        site.folder = tmp_path / str(at)
        site.start_edge(**settings({"late_s": 1.0}))
        send(site, wait_for, *STREAM[:at])
        site.stop_edge()
        site.start_edge(**settings({"late_s": 1.0}))
        # What was not acknowledged at a kill comes again, behind what was.
        send(site, wait_for, *STREAM[max(0, at - 3) :])
        wait_for(lambda: len(site.finals()) == 2, "both windows")
        assert told(site) == wanted


def test_all_of_it_once_more_makes_no_label(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**settings({"late_s": 1.0}))
    send(site, wait_for, *STREAM)
    wait_for(lambda: len(site.finals()) == 2, "both windows")
    site.stop_edge()
    site.start_edge(**settings({"late_s": 1.0}))
    send(site, wait_for, *STREAM)
    assert len(site.heard) == 2
    known = site.count("samples_redelivered_total", state="reading")
    assert known + site.count("drops_total", reason="late") == len(STREAM)
    assert site.count("window_epochs_total", device="cellar") == 0


def test_what_is_wrong_is_counted_and_costs_the_window_nothing(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**settings({"late_s": 1.0}))
    wrong = [
        ("hall/cellar/temp", b'{"v": 21'),
        ("hall/cellar/temp", b"\xff\xd8\xff\xe0"),
        value("temp", T + 1.5, "on"),
        value("temp", T + 1.5, None),
        value("linkquality", T + 1.5, 120),
        value("temp", time.time() + 3600, 21),
        value("temp", T - 50, 21),
    ]
    send(site, wait_for, *STREAM[:4], *wrong, *STREAM[4:])
    wait_for(lambda: set(site.finals()) == WINDOWS, "both windows")
    expected = {
        "not_json": 2, "bad_field": 1, "missing_value": 1, "not_meant": 1, "from_the_future": 1, "late": 1,
    }  # fmt: skip
    assert {reason: site.count("drops_total", reason=reason) for reason in expected} == expected


def test_an_unavailable_channel_is_held_until_it_is_too_old(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**settings(missing="hold", hold_s=3.0))
    send(site, wait_for, value("temp", T, 20), value("hum", T, 50))
    for second in range(1, 9):
        send(site, wait_for, value("temp", T + second, 20 + second), value("hum", T + second, "unavailable"))
    send(site, wait_for, value("hum", T + 8, 50))
    for second in range(9, 13):
        send(site, wait_for, value("temp", T + second, 20), value("hum", T + second, 51))
    # Rows 0 to 3 fill a window; then the humidity is too old, until it is back.
    wait_for(lambda: set(site.finals()) == {("cellar", window_id("cellar", 0, T + first)) for first in (0, 8)}, "both")


def test_bare_numbers_go_by_the_time_of_their_arrival(site: Site, wait_for: WaitFor) -> None:
    bare = {"topic": "hall/{device}/{channel}", "kind": "sensor", "join": {"hold_s": 3600.0}}
    small = small_readings.save(site.folder / "fast.dew", LENGTH, 2, names=["temp", "hum"], rate_hz=200.0)
    site.bundle = small
    site.limits = {"reading_rows_max": 1_000_000}
    site.start_edge(thresholds=ALL_LEAVE, inputs=[bare])
    send(site, wait_for, ("hall/cellar/temp", b"21.5"), ("hall/cellar/hum", b' "50" '))

    def windows() -> bool:
        send(site, wait_for, ("hall/cellar/temp", b"21.5"))
        return len(site.finals()) >= 3

    wait_for(windows, "windows")


def test_a_device_that_is_forgotten_leaves_nothing_of_its_channels(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(**settings(), window_devices_max=3)
    send(site, wait_for, *(value("temp", T, 20, f"made-up-{number}") for number in range(40)))
    site.stop_edge()
    with Journal(site.folder / "spool" / "journal.sqlite") as journal:
        assert journal.windows.devices == 3
        names = ("temp", "hum")
        kept = [n for n in range(40) if journal.windows.channels_of(f"made-up-{n}", names=names).pending]
        assert kept == [37, 38, 39]


def test_values_are_held_within_messages_over_a_restart_and_refused_when_too_old(site: Site, wait_for: WaitFor) -> None:
    fields = {"values": ["temp", "hum"], "time": "at", "missing": "hold", "hold_s": 3.0}
    takes = {"topic": "hall/{device}", "kind": "sensor", "fields": fields}

    def reading(t: float, **values: Any) -> tuple[str, bytes]:
        return "hall/cellar", json.dumps({"at": T + t, **values}).encode()

    site.start_edge(thresholds=ALL_LEAVE, inputs=[takes])
    send(site, wait_for, reading(0, hum=50), reading(1, temp=20, hum=50), reading(2, temp=21))
    assert site.count("drops_total", reason="missing_value") == 1  # there was no temperature to hold
    site.stop_edge()
    site.start_edge(thresholds=ALL_LEAVE, inputs=[takes])
    send(site, wait_for, reading(3, temp=22, hum=None), reading(4, temp=22, hum="unknown"))
    wait_for(lambda: len(site.finals()) == 1, "the window")
    send(site, wait_for, reading(5, temp=22))
    assert site.count("drops_total", reason="missing_value") == 1  # 4 s old


def test_the_inputs_of_a_worker_that_cannot_join_are_refused_in_one_line(site: Site) -> None:
    for join, told_of in (
        ({"channels": ["temp"]}, "join.channels has 1 names, and the bundle takes 2 channels"),
        ({"period_s": 2.0}, "join.period_s 2 is not the bundle's 1"),
        ({"hold_s": 1e6}, "let one value lead to 1000001 rows"),
    ):
        with pytest.raises(Exception, match=told_of) as caught:
            site.compose_edge(**settings(join))
        assert "input hall/{device}/{channel}: " in str(caught.value)
