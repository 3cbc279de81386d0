"""The bounded inbox between the MQTT thread and the worker.

Inputs that hold share one lane: when it is full, the socket is not read, and the broker keeps what comes. An input
that drops its oldest has a lane of its own.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.edge.journal.in_hand import HASH_BYTES
from services.messages import InputTopics, MessageError
from services.metrics import EdgeMetrics
from services.mqtt import Delivery
from services.settings import EdgeSettings, LimitSettings

__all__ = ["Arrival", "Intake"]


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A message that came in: of which input and device, or why nothing can be done with it."""

    delivery: Delivery
    input_index: int
    device: str
    refusal: MessageError | None = None
    arrived_s: float = field(default_factory=time.monotonic)

    def age_s(self) -> float:
        """Seconds since it arrived, whatever the clock says."""
        return time.monotonic() - self.arrived_s

    def message_hash(self) -> bytes:
        """Of topic and payload: what a message is known by that never became a sample."""
        topic = self.delivery.topic.encode(errors="replace")
        return hashlib.blake2b(topic + b"\0" + self.delivery.payload, digest_size=HASH_BYTES).digest()


class Intake:
    """Takes deliveries from the MQTT thread, gives them to the worker in batches.

    Args:
        settings: Inputs and bounds.
        limits: The greatest payload.
        topics: Finds input and device.
        metrics: Counts what comes.
        acknowledge: Called, in the MQTT thread, with deliveries that were dropped.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        limits: LimitSettings,
        topics: InputTopics,
        metrics: EdgeMetrics,
        acknowledge: Callable[[Sequence[Delivery]], None],
    ) -> None:
        self._settings, self._limits, self._topics = settings, limits, topics
        self._acknowledge = acknowledge
        self._metrics = metrics
        self._received = [metrics.messages_received.labels(input=one.topic) for one in settings.inputs]
        self._received_bytes = [metrics.payload_bytes.labels(input=one.topic) for one in settings.inputs]
        for one in settings.inputs:
            deadline_s = settings.deadline_s if one.deadline_s is None else one.deadline_s
            if deadline_s is not None:
                metrics.deadline_s.labels(input=one.topic).set(deadline_s)
        self._dropped = metrics.drops.labels(reason="overload")
        self._held: deque[Arrival] = deque()
        self._held_bytes = 0
        self._lanes: dict[int, deque[Arrival]] = {
            index: deque() for index, one in enumerate(settings.inputs) if one.overload == "drop_oldest"
        }
        self._filled = threading.Condition()
        self._wanted: int | None = None
        self._nudged = False

    def take(self, delivery: Delivery) -> None:
        """Put a delivery into the inbox, in the MQTT thread."""
        try:
            index, device = self._topics.find(delivery.topic)
        except MessageError as unknown:
            self._put(Arrival(delivery, 0, "", unknown), self._held)
            return
        self._received[index].inc()
        refusal = None
        size = len(delivery.payload)
        self._received_bytes[index].inc(size)
        if size > self._limits.payload_bytes_max:
            refusal = MessageError("oversized", f"{size} bytes, {self._limits.payload_bytes_max} are allowed")
        self._put(Arrival(delivery, index, device, refusal), self._lanes.get(index, self._held))

    def has_room(self) -> bool:
        """Whether the broker may send more."""
        return len(self._held) < self._settings.inbox_max and self._held_bytes < self._settings.inbox_bytes_max

    def __len__(self) -> int:
        return len(self._held) + sum(len(lane) for lane in self._lanes.values())

    def batch(self, count_max: int, *, linger_s: float, timeout_s: float) -> list[Arrival]:
        """Up to `count_max` arrivals: what is there, after `linger_s` more if that is fewer; none after `timeout_s`."""
        with self._filled:
            self._wait_for(1, timeout_s)
            if 0 < len(self) < count_max and linger_s > 0:
                self._wait_for(count_max, linger_s)
            return self._pop(count_max)

    def nudge(self) -> None:
        """Let a waiting `batch` return at once, perhaps empty-handed."""
        with self._filled:
            self._nudged = True
            self._filled.notify()

    def _wait_for(self, count: int, timeout_s: float) -> None:
        # The MQTT thread wakes us once there are enough, not at every message.
        self._wanted = count
        self._filled.wait_for(lambda: len(self) >= count or self._nudged, timeout_s)
        self._wanted = None
        self._nudged = False

    def _pop(self, count_max: int) -> list[Arrival]:
        taken: list[Arrival] = []
        while len(taken) < count_max and len(self):
            for lane in (self._held, *self._lanes.values()):
                if lane and len(taken) < count_max:
                    arrival = lane.popleft()
                    if lane is self._held:
                        self._held_bytes -= len(arrival.delivery.payload)
                    taken.append(arrival)
        return taken

    def _put(self, arrival: Arrival, lane: deque[Arrival]) -> None:
        dropped: Arrival | None = None
        with self._filled:
            if lane is self._held:
                self._held_bytes += len(arrival.delivery.payload)
            elif len(lane) >= self._settings.inputs[arrival.input_index].queue_max:
                dropped = lane.popleft()
            lane.append(arrival)
            if self._wanted is not None and len(self) >= self._wanted:
                self._filled.notify()
        if dropped is not None:
            self._dropped.inc()
            self._acknowledge([dropped.delivery])
