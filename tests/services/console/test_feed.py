"""The console at a real broker: it hears what passes, disturbs nobody, and leaves the set-point."""

from __future__ import annotations

import threading

import pytest

from services.console.collect.feed import Feed
from services.console.state.state import State
from services.messages import (
    Budget,
    Control,
    Label,
    Sample,
    Status,
    control_topic,
    input_topic,
    label_topic,
    status_topic,
)
from services.mqtt import Filter, MqttError, MqttLink, OnMessage
from services.settings import MqttSettings, Settings
from tests.services.console.test_recent import label, png

SITE = "hall"
JOINED = {"kind": "sensor", "join": {"channels": ["x"], "period_s": 1.0}}


def _settings(broker, **sections):
    mqtt = {"port": broker.port, "backoff_min_s": 0.05, "backoff_max_s": 0.2}
    return Settings.model_validate({"site": {"name": SITE}, "mqtt": mqtt, **sections})


@pytest.fixture
def state():
    return State(pictures_kept=100)


@pytest.fixture
def start(mqtt_broker, state):
    """Starts the feed, with settings of some sections."""
    feeds = []

    def begin(**sections):
        feed = Feed(_settings(mqtt_broker, **sections), state, window=(4, 10.0))
        feed.start()
        feeds.append(feed)
        return feed

    yield begin
    for feed in feeds:
        feed.stop()


@pytest.fixture
def device(mqtt_broker):
    with MqttLink(MqttSettings(port=mqtt_broker.port), client_id="device", persistent=False) as link:
        yield link


def _sample(sample="a"):
    return Sample(sample, 100.0, "image", None, None, png()).encode()


def test_samples_labels_and_statuses_are_heard(start, device, state, wait_for):
    start()
    device.publish(input_topic(SITE, "camera 1/2"), _sample())
    device.publish(label_topic(SITE, "camera 1/2"), label(device="camera 1/2").encode())
    device.publish(status_topic(SITE, "edge-1"), Status("online", "edge-1", "digits@0").encode(), retain=True)
    wait_for(lambda: state.recent.newest(1) and state.recent.newest(1)[0].input and state.workers, "label and input")
    assert state.recent.newest(1)[0].key == ("camera 1/2", "a")
    assert state.device_labels.confidence("camera 1/2") == pytest.approx(0.9)
    assert state.workers[0].name == "edge-1"


def test_what_was_retained_before_is_heard_at_the_start(start, device, state, wait_for):
    device.publish(control_topic(SITE), Control("fixed", point=7).encode(), retain=True)
    device.publish(status_topic(SITE, "edge-1"), Status("stopped", "edge-1", "digits@0").encode(), retain=True)
    assert device.flush(timeout_s=60)
    start()
    wait_for(lambda: state.workers and state.control, "what was retained")
    assert (state.workers[0].state, state.control.point) == ("stopped", 7)


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, b"{}", b"[" * 5000, b'{"id": 1}', b"x" * 70_000])
def test_whatever_is_published_the_console_goes_on(start, device, state, wait_for, payload):
    start()
    topics = [
        label_topic(SITE, "camera-1"),
        status_topic(SITE, "edge-1"),
        control_topic(SITE),
        input_topic(SITE, "camera-1"),
    ]
    for topic in topics:
        device.publish(topic, payload)
    device.publish(label_topic(SITE, "camera-1"), label().encode())
    wait_for(lambda: state.recent.newest(1), "a label after the others")
    assert state.refused >= 2
    assert state.workers == []
    assert state.control is None


def test_readings_become_the_window_of_their_label(start, device, state, wait_for):
    start(edge={"inputs": [{"kind": "sensor"}]})
    device.publish(input_topic(SITE, "d"), b'{"t": 99.7, "values": [[1], [2], [3], [4]]}')
    device.publish(label_topic(SITE, "d"), label(device="d").encode())
    wait_for(lambda: state.recent.newest(1) and state.recent.newest(1)[0].input, "a label with its window")
    assert state.recent.newest(1)[0].input.shape == (4, 1)


def test_readings_that_are_not_our_own_are_none_of_the_page_s_business(start, device, state, wait_for):
    fields = {"values": ["x"]}
    start(edge={"inputs": [{"kind": "sensor", "fields": fields}, {"topic": "raw/{device}/{channel}", **JOINED}]})
    device.publish(input_topic(SITE, "d"), b'{"x": 1}')
    device.publish("raw/d/x", b"21.5")
    device.publish(label_topic(SITE, "d"), label(device="d").encode())
    wait_for(lambda: state.recent.newest(1), "the label")
    assert state.recent.newest(1)[0].input is None
    assert state.refused == 0


def test_the_set_point_is_left_retained_and_taken_away(start, mqtt_broker, state, wait_for):
    feed = start()
    wanted = Control("budget", budget=Budget("escalated_share", 0.2))
    feed.publish_control(wanted)
    wait_for(lambda: state.control == wanted, "the broker's echo")
    heard = []
    listener = MqttLink(
        MqttSettings(port=mqtt_broker.port), client_id="late", filters=[Filter(control_topic(SITE), 0)],
        listener=OnMessage(heard.append), persistent=False,
    )  # fmt: skip
    with listener:
        wait_for(lambda: heard, "the retained set-point")
        assert Control.decode(heard[0].payload) == wanted
        assert heard[0].retain
    feed.publish_control(None)
    wait_for(lambda: state.control is None, "no set-point")


def test_a_set_point_is_not_queued_for_a_broker_that_is_away(start, mqtt_broker, wait_for):
    feed = start()
    mqtt_broker.stop()
    wait_for(lambda: not feed.connected, "the loss")
    with pytest.raises(MqttError, match="not sent"):
        feed.publish_control(Control("fixed", point=1))


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_the_workers_shared_subscription_loses_nothing_to_the_console(start, mqtt_broker, device, state, wait_for):
    topic = "$share/edges/dewpoint/{site}/in/{device}"
    start(edge={"inputs": [{"topic": topic}]})
    heard, enough = [], threading.Event()

    def worker(delivery):
        heard.append(delivery)
        if len(heard) == 50:
            enough.set()

    shared = MqttLink(
        MqttSettings(port=mqtt_broker.port), client_id="worker", persistent=False,
        filters=[Filter(f"$share/edges/dewpoint/{SITE}/in/+", 0)], listener=OnMessage(worker),
    )  # fmt: skip
    with shared:
        for number in range(50):
            device.publish(input_topic(SITE, "camera-1"), _sample(str(number)))
        assert enough.wait(90)
        wait_for(lambda: len(state.recent) == 50, "the same at the console")


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_its_session_ends_with_it(start, mqtt_broker, state, device, wait_for):
    start().stop()
    device.publish(label_topic(SITE, "camera-1"), label().encode())
    device.publish(label_topic(SITE, "camera-1"), label("b").encode())
    assert device.flush(timeout_s=60)
    start()
    device.publish(label_topic(SITE, "camera-1"), label("c").encode())
    wait_for(lambda: state.recent.newest(1), "a label")
    assert [sample.key[1] for sample in state.recent.newest(9)] == ["c"]


def test_a_label_is_read_as_workers_write_it():
    assert Label.decode(label().encode()) == label()
