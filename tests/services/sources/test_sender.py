from __future__ import annotations

import threading
import time

import pytest

from hybrid_model import data
from services.messages import Sample
from services.mqtt import Filter, MqttLink, OnMessage
from services.settings import MqttSettings
from services.sources.catalog import devices_for, replay_for
from services.sources.sender import Sender


def _settings(broker, **options):
    return MqttSettings(host=broker.host, port=broker.port, **options)


def _replay(frames):
    digits = data.load("digits")
    return replay_for(digits, devices=devices_for(digits, 3), frames=frames)


def test_every_message_arrives_and_is_counted_when_the_broker_has_acknowledged_it(each_mqtt_broker, wait_for):
    received = []
    acknowledged = []
    settings = _settings(each_mqtt_broker, inflight_max=8)
    with (
        MqttLink(
            settings,
            client_id="receiver",
            filters=[Filter("dewpoint/home/in/+")],
            listener=OnMessage(received.append),
            persistent=False,
        ),
        MqttLink(settings, client_id="sender", persistent=False) as link,
    ):
        sender = Sender(link, site="home", on_acknowledged=acknowledged.extend)
        assert sender.send(_replay(50))
        assert link.flush(timeout_s=60)
        wait_for(lambda: len(received) == 50, "50 messages")
    assert sender.sent.samples == sender.sent.samples_acknowledged == sender.sent.messages_acknowledged == 50
    assert sender.sent.payload_bytes == sum(len(delivery.payload) for delivery in received)
    assert {Sample.decode(delivery.payload).id for delivery in received} == {sample.id for sample in acknowledged}
    assert {delivery.topic for delivery in received} == {f"dewpoint/home/in/scanner-{i}" for i in (1, 2, 3)}


def test_samples_are_in_the_books_before_they_are_published(mqtt_broker):
    order = []
    with MqttLink(_settings(mqtt_broker), client_id="sender", persistent=False) as link:
        sender = Sender(
            link,
            site="home",
            on_sent=lambda samples: order.append(("sent", samples[0].id)),
            on_acknowledged=lambda samples: order.append(("acknowledged", samples[0].id)),
        )
        sender.send(_replay(5))
        assert link.flush(timeout_s=60)
    for what, id_ in order:
        assert what == "sent" or ("sent", id_) in order[: order.index((what, id_))]


def test_no_more_messages_than_allowed_are_in_flight_while_the_broker_is_away(mqtt_broker, wait_for):
    with MqttLink(_settings(mqtt_broker, inflight_max=4, backoff_min_s=0.05), client_id="sender") as link:
        mqtt_broker.kill()
        wait_for(lambda: not link.connected, "the loss of the connection")
        sender = Sender(link, site="home")
        thread = threading.Thread(target=sender.send, args=(_replay(20),))
        thread.start()
        wait_for(lambda: link.owed == 4, "a full window")
        assert sender.sent.samples_acknowledged == 0
        mqtt_broker.start()
        thread.join(90)
        assert not thread.is_alive()
        assert link.flush(timeout_s=60)
        assert sender.sent.samples_acknowledged == 20


def test_the_rate_is_kept(mqtt_broker):
    with MqttLink(_settings(mqtt_broker), client_id="sender", persistent=False) as link:
        took_s = []
        while not took_s or (took_s[-1] > 0.55 and len(took_s) < 20):  # a machine that is held up gets another try
            start = time.monotonic()
            Sender(link, site="home", rate_hz=50).send(_replay(20))
            took_s.append(time.monotonic() - start)
        assert took_s[-1] == pytest.approx(0.4, abs=0.15)


def test_a_stream_that_is_stopped_ends_at_once(mqtt_broker, wait_for):
    with MqttLink(_settings(mqtt_broker), client_id="sender", persistent=False) as link:
        sender, stop = Sender(link, site="home", rate_hz=0.1), threading.Event()
        outcome = []
        thread = threading.Thread(target=lambda: outcome.append(sender.send(_replay(20), stop=stop)))
        thread.start()
        wait_for(lambda: sender.sent.samples == 1, "the first sample")
        stop.set()
        thread.join(60)
        assert outcome == [False]
