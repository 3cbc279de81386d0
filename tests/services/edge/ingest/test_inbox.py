"""The inbox: bounded, in order, holding or dropping as each input says."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from services.edge.ingest.inbox import Arrival, Intake
from services.edge.ingest.topics import InputTopics
from services.metrics import EdgeMetrics
from services.mqtt import Delivery
from services.settings import EdgeSettings, InputSettings, LimitSettings


class Inbox:
    """An intake, and what it acknowledged."""

    def __init__(self, *inputs: dict[str, Any], payload_bytes_max: int = 1000, **edge: Any) -> None:
        chosen = [InputSettings(**one) for one in inputs or ({"topic": "in/{device}"},)]
        settings = EdgeSettings(inputs=chosen, **edge)
        self.metrics = EdgeMetrics()
        self.acknowledged: list[bytes] = []
        limits = LimitSettings(payload_bytes_max=payload_bytes_max)
        self.intake = Intake(settings, limits, InputTopics(chosen, "home"), self.metrics, self._acknowledge)

    def put(self, topic: str, payload: bytes) -> None:
        self.intake.take(Delivery(topic, payload, 1, False, False, 1, time.time()))

    def take(self, count: int = 100) -> list[Arrival]:
        return self.intake.batch(count, linger_s=0, timeout_s=0)

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += [one.payload for one in deliveries]


def payloads(arrivals: list[Arrival]) -> list[bytes]:
    return [one.delivery.payload for one in arrivals]


def test_messages_are_given_out_in_order_in_batches() -> None:
    inbox = Inbox()
    for payload in (b"1", b"2", b"3"):
        inbox.put("in/a", payload)
    assert payloads(inbox.take(2)) == [b"1", b"2"]
    assert payloads(inbox.take(2)) == [b"3"]
    assert inbox.take(2) == []


def test_each_arrival_knows_its_device_and_is_counted() -> None:
    inbox = Inbox()
    inbox.put("in/hall%2F1", b"x")
    [arrival] = inbox.take()
    assert (arrival.device, arrival.input_index, arrival.refusal) == ("hall/1", 0, None)
    assert inbox.count("dewpoint_messages_received_total", input="in/{device}") == 1


def test_an_oversized_message_is_passed_on_with_its_refusal() -> None:
    inbox = Inbox(payload_bytes_max=64)
    inbox.put("in/a", bytes(65))
    [arrival] = inbox.take()
    assert arrival.refusal is not None
    assert arrival.refusal.reason == "oversized"


def test_a_topic_that_no_input_takes_is_passed_on_with_its_refusal() -> None:
    inbox = Inbox()
    inbox.put("elsewhere", b"x")
    [arrival] = inbox.take()
    assert arrival.refusal is not None
    assert arrival.refusal.reason == "unknown_topic"


def test_a_full_inbox_has_no_room_until_a_batch_is_taken() -> None:
    inbox = Inbox(inbox_max=2)
    inbox.put("in/a", b"1")
    assert inbox.intake.has_room()
    inbox.put("in/a", b"2")
    assert not inbox.intake.has_room()
    inbox.take(1)
    assert inbox.intake.has_room()


def test_an_inbox_is_bounded_in_bytes_too() -> None:
    inbox = Inbox(inbox_bytes_max=1 << 16, payload_bytes_max=1 << 20)
    inbox.put("in/a", bytes(1 << 16))
    assert not inbox.intake.has_room()
    inbox.take()
    assert inbox.intake.has_room()


def test_an_input_may_drop_its_oldest_which_are_acknowledged_and_counted() -> None:
    inbox = Inbox({"topic": "live/{device}", "overload": "drop_oldest", "queue_max": 2}, {"topic": "in/{device}"})
    inbox.put("in/a", b"held")
    for payload in (b"1", b"2", b"3"):
        inbox.put("live/a", payload)
    assert inbox.acknowledged == [b"1"]
    assert inbox.count("dewpoint_drops_total", reason="overload") == 1
    assert sorted(payloads(inbox.take())) == [b"2", b"3", b"held"]


def test_a_batch_that_is_not_full_lingers_for_more() -> None:
    inbox = Inbox()
    inbox.put("in/a", b"1")
    threading.Timer(0.05, inbox.put, ("in/a", b"2")).start()
    assert payloads(inbox.intake.batch(2, linger_s=60, timeout_s=0)) == [b"1", b"2"]


def test_a_nudge_ends_the_wait() -> None:
    inbox = Inbox()
    threading.Timer(0.05, inbox.intake.nudge).start()
    begun = time.monotonic()
    assert inbox.intake.batch(2, linger_s=0, timeout_s=120) == []
    assert time.monotonic() - begun < 60
