"""The inbox: bounded, in order, holding or dropping as each input says."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from services.edge.ingest import Inbox as EdgeInbox
from services.edge.ingest.inbox import Arrival
from services.messages import InputTopics
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
        self.real = EdgeInbox(
            settings=settings,
            limits=limits,
            topics=InputTopics([source.topic for source in chosen], "home"),
            metrics=self.metrics,
            acknowledge=self._acknowledge,
        )

    def put(self, topic: str, payload: bytes) -> None:
        self.real.take(Delivery(topic, payload, 1, False, False, 1, time.time()))

    def take(self, count: int = 100) -> list[Arrival]:
        return self.real.batch(count, linger_s=0, timeout_s=0)

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
    assert inbox.real.has_room()
    inbox.put("in/a", b"2")
    assert not inbox.real.has_room()
    inbox.take(1)
    assert inbox.real.has_room()


def test_an_inbox_is_bounded_in_bytes_too() -> None:
    inbox = Inbox(inbox_bytes_max=1 << 16, payload_bytes_max=1 << 20)
    inbox.put("in/a", bytes(1 << 16))
    assert not inbox.real.has_room()
    inbox.take()
    assert inbox.real.has_room()


def test_an_input_may_drop_its_oldest_which_are_acknowledged_and_counted() -> None:
    inbox = Inbox({"topic": "live/{device}", "overload": "drop_oldest", "queue_max": 2}, {"topic": "in/{device}"})
    inbox.put("in/a", b"held")
    for payload in (b"1", b"2", b"3"):
        inbox.put("live/a", payload)
    assert inbox.acknowledged == [b"1"]
    assert inbox.count("dewpoint_drops_total", reason="overload") == 1
    assert sorted(payloads(inbox.take())) == [b"2", b"3", b"held"]


def test_inputs_that_drop_their_oldest_share_half_of_the_bytes_and_the_newest_stay() -> None:
    live = [{"topic": f"live{n}/{{device}}", "overload": "drop_oldest", "queue_max": 64} for n in range(2)]
    inbox = Inbox(*live, {"topic": "in/{device}"}, inbox_bytes_max=1 << 16, payload_bytes_max=1 << 16)
    for number in range(64):
        inbox.put(f"live{number % 2}/a", bytes([number]) * 8000)
        assert inbox.real.bytes <= 1 << 15
    assert inbox.real.has_room(), "inputs that hold have their half"
    inbox.put("in/a", bytes(1 << 15))
    assert not inbox.real.has_room()
    kept = [payload[0] for payload in payloads(inbox.take()) if payload[0]]
    assert sorted(kept) == [60, 61, 62, 63]
    assert [payload[0] for payload in inbox.acknowledged] == list(range(60))
    assert inbox.count("dewpoint_drops_total", reason="overload") == 60


def test_one_message_of_a_lane_stays_however_large_it_is() -> None:
    inbox = Inbox(
        {"topic": "live/{device}", "overload": "drop_oldest"}, inbox_bytes_max=1 << 16, payload_bytes_max=1 << 17
    )
    inbox.put("live/a", bytes(1 << 16))
    inbox.put("live/a", bytes(1 << 16))
    assert len(inbox.take()) == 1


@pytest.mark.parametrize("topic", ["in/a", "live/a", "elsewhere"])
def test_a_payload_that_is_refused_for_its_size_is_not_kept(topic: str) -> None:
    inputs = ({"topic": "live/{device}", "overload": "drop_oldest"}, {"topic": "in/{device}"})
    inbox = Inbox(*inputs, payload_bytes_max=100)
    inbox.put(topic, bytes(101))
    assert inbox.real.bytes == 0
    [arrival] = inbox.take()
    assert arrival.refusal is not None
    assert arrival.payload_bytes == 101
    assert arrival.hash == Arrival.of(Delivery(topic, bytes(101), 1, False, False, 1, 0.0), 0, "a").hash


def test_a_batch_that_is_not_full_lingers_for_more() -> None:
    inbox = Inbox()
    inbox.put("in/a", b"1")
    threading.Timer(0.05, inbox.put, ("in/a", b"2")).start()
    assert payloads(inbox.real.batch(2, linger_s=60, timeout_s=0)) == [b"1", b"2"]


def test_a_nudge_ends_the_wait() -> None:
    inbox = Inbox()
    threading.Timer(0.05, inbox.real.nudge).start()
    begun = time.monotonic()
    assert inbox.real.batch(2, linger_s=0, timeout_s=120) == []
    assert time.monotonic() - begun < 60
