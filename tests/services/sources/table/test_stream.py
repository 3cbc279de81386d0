from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from services.edge.ingest.decoding.sensor import decode_readings
from services.sources.errors import SourceError
from services.sources.table.stream import TableOptions, run_table
from tests.services.sources.receiving import QUIET, receiving, settings_for


@pytest.fixture
def received(mqtt_broker):
    with receiving(mqtt_broker) as deliveries:
        yield deliveries


def _run(broker, text, *, console=QUIET, **options):
    lines = io.StringIO(text, newline="")
    return run_table(TableOptions("fans.csv", **options), lines, settings_for(broker), console=console)


def _bodies(received):
    return [json.loads(delivery.payload) for delivery in received]


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_rows_arrive_as_readings_of_their_devices(mqtt_broker, received, wait_for):
    figures = _run(mqtt_broker, "device,t,x,y\nfan 1,5,0.5,1\nfan-2,5,3,-4\nfan 1,5.02,0.25,2\n", fast=True)
    assert (figures["rows_sent"], figures["devices"], figures["messages_acknowledged"]) == (3, 2, 3)
    wait_for(lambda: len(received) == 3, "every row")
    assert [delivery.topic.rpartition("/")[2] for delivery in received] == ["fan%201", "fan-2", "fan%201"]
    assert _bodies(received) == [
        {"t": 5.0, "values": [0.5, 1.0]},
        {"t": 5.0, "values": [3.0, -4.0]},
        {"t": 5.02, "values": [0.25, 2.0]},
    ]
    readings = decode_readings(received[0].payload, channels=2, rate_hz=50, rows_max=1)
    assert (readings.mark, readings.timed) == (5_000_000, True)


def test_rows_are_sent_at_the_pace_of_their_times(mqtt_broker, received):
    started = time.monotonic()
    _run(mqtt_broker, "t,x\n100,1\n100.3,2\n100.6,3\n")
    assert time.monotonic() - started >= 0.6


def test_a_rate_goes_before_the_times(mqtt_broker, received):
    started = time.monotonic()
    _run(mqtt_broker, "t,x\n100,1\n4000,2\n", rate_hz=100)
    assert time.monotonic() - started < 60


def test_times_can_be_shifted_to_now(mqtt_broker, received, wait_for):
    began = time.time()
    _run(mqtt_broker, "t,x\n100,1\n100.5,2\n", fast=True, from_now=True)
    wait_for(lambda: len(received) == 2, "both rows")
    first, second = (body["t"] for body in _bodies(received))
    assert began <= first <= time.time()
    assert second - first == pytest.approx(0.5)


def test_rows_without_times_take_them_from_the_rate(mqtt_broker, received, wait_for):
    _run(mqtt_broker, "x\n1\n2\n3\n", rate_hz=200)
    wait_for(lambda: len(received) == 3, "every row")
    first, second, third = (body["t"] for body in _bodies(received))
    assert [second - first, third - second] == pytest.approx([1 / 200] * 2, abs=3e-6)


def test_rows_without_times_and_rate_are_refused(mqtt_broker):
    with pytest.raises(SourceError, match=r"fans.csv has no column of times: --time-column .* --rate"):
        _run(mqtt_broker, "x\n1\n")


def test_what_comes_in_live_is_of_now_where_it_has_no_time(mqtt_broker, received, wait_for):
    began = time.time()
    _run(mqtt_broker, "1\n2\n", live=True, header=("x",))
    wait_for(lambda: len(received) == 2, "both rows")
    assert all(began <= body["t"] <= time.time() for body in _bodies(received))


def test_what_comes_in_live_is_not_held_back_by_its_times(mqtt_broker, received):
    started = time.monotonic()
    _run(mqtt_broker, "t,x\n100,1\n4000,2\n", live=True)
    assert time.monotonic() - started < 60


def test_rows_that_are_no_readings_are_counted_and_the_first_are_told(mqtt_broker, received):
    said = io.StringIO()
    rows = "".join(f"{n},{'x' if n % 2 else n}\n" for n in range(20))
    figures = _run(mqtt_broker, "t,x\n" + rows, fast=True, console=Console(file=said, width=500))
    assert figures["rows_sent"] == 10
    assert figures["rows_refused"] == {"not_a_number": 10}
    assert said.getvalue().count("left out") == 5
    assert "fans.csv, line 3: x is 'x'" in said.getvalue()
