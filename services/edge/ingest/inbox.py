"""The bounded inbox between the MQTT thread and the worker.

Inputs that hold share one lane: when it is full, the socket is not read, and the broker keeps what comes. An input
that drops its oldest has a lane of its own. Where there are such inputs, their lanes share one half of the bytes, and
those that hold the other.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from services.edge.journal.in_hand import HASH_BYTES
from services.messages import InputTopics, MessageError
from services.metrics import EdgeMetrics
from services.mqtt import Delivery
from services.settings import EdgeSettings, LimitSettings

__all__ = ["Arrival", "Inbox"]


@dataclass(slots=True, eq=False)
class Arrival:
    """A message that came in: of which input and device, or why nothing can be done with it.

    `hash` is of topic and payload: what a message is known by that never became a sample. `payload_bytes` is its size;
    the payload of a message that is refused for its size is gone.
    """

    delivery: Delivery
    input_index: int
    device: str
    hash: bytes
    payload_bytes: int
    refusal: MessageError | None = None
    arrived_s: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, delivery: Delivery, input_index: int, device: str, refusal: MessageError | None = None) -> Arrival:
        """The arrival of a delivery."""
        topic = delivery.topic.encode(errors="replace")
        digest = hashlib.blake2b(topic + b"\0" + delivery.payload, digest_size=HASH_BYTES).digest()
        return cls(delivery, input_index, device, digest, len(delivery.payload), refusal)

    def age_s(self) -> float:
        """Seconds since it arrived, whatever the clock says."""
        return time.monotonic() - self.arrived_s


class Inbox:
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
        *,
        settings: EdgeSettings,
        limits: LimitSettings,
        topics: InputTopics,
        metrics: EdgeMetrics,
        acknowledge: Callable[[Sequence[Delivery]], None],
    ) -> None:
        self._settings, self._limits, self._topics = settings, limits, topics
        self._acknowledge = acknowledge
        inputs = settings.inputs
        self._received = [metrics.messages_received.labels(input=each.topic) for each in inputs]
        self._received_bytes = [metrics.payload_bytes.labels(input=each.topic) for each in inputs]
        for index, each in enumerate(inputs):
            deadline_s = settings.deadline_of(index)
            if deadline_s is not None:
                metrics.deadline_s.labels(input=each.topic).set(deadline_s)
        self._dropped = metrics.drops.labels(reason="overload")
        self._held = _Lane()
        self._lanes = {
            index: _Lane(each.queue_max) for index, each in enumerate(inputs) if each.overload == "drop_oldest"
        }
        self._lane_bytes_max = settings.inbox_bytes_max // 2 if self._lanes else 0
        self._held_bytes_max = settings.inbox_bytes_max - self._lane_bytes_max
        self._filled = threading.Condition()
        self._wanted: int | None = None
        self._nudged = False

    def take(self, delivery: Delivery) -> None:
        """Put a delivery into the inbox, in the MQTT thread."""
        try:
            index, device = self._topics.find(delivery.topic)
        except MessageError as unknown:
            self._put(self._bounded(Arrival.of(delivery, 0, "", unknown)), self._held)
            return
        arrival = Arrival.of(delivery, index, device)
        self._received[index].inc()
        self._received_bytes[index].inc(arrival.payload_bytes)
        self._put(self._bounded(arrival), self._lanes.get(index, self._held))

    def has_room(self) -> bool:
        """Whether the broker may send more."""
        return len(self._held) < self._settings.inbox_max and self._held.bytes < self._held_bytes_max

    @property
    def bytes(self) -> int:
        """Bytes of the payloads in it."""
        return self._held.bytes + self._lane_bytes()

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
                if len(lane) and len(taken) < count_max:
                    taken.append(lane.pop())
        return taken

    def _bounded(self, arrival: Arrival) -> Arrival:
        """Without its payload if that is too large: what is refused anyhow shall not fill the memory meanwhile."""
        size, allowed = arrival.payload_bytes, self._limits.payload_bytes_max
        if size <= allowed:
            return arrival
        refusal = arrival.refusal or MessageError("oversized", f"{size} bytes, {allowed} are allowed")
        arrival.delivery.payload = b""
        return replace(arrival, refusal=refusal)

    def _put(self, arrival: Arrival, lane: _Lane) -> None:
        with self._filled:
            lane.append(arrival)
            dropped = [] if lane is self._held else self._overflow(lane)
            if self._wanted is not None and len(self) >= self._wanted:
                self._filled.notify()
        if dropped:
            self._dropped.inc(len(dropped))
            self._acknowledge([each.delivery for each in dropped])

    def _overflow(self, lane: _Lane) -> list[Arrival]:
        """Take out what is too much now that a lane grew: the oldest of it, or of the lane with the most bytes."""
        dropped = [lane.pop()] if len(lane) > lane.length_max else []
        while self._lane_bytes() > self._lane_bytes_max:
            largest = max(self._lanes.values(), key=lambda each: each.bytes)
            if len(largest) == 1:
                break
            dropped.append(largest.pop())
        return dropped

    def _lane_bytes(self) -> int:
        return sum(lane.bytes for lane in self._lanes.values())


class _Lane:
    """Arrivals in their order, and the bytes of their payloads."""

    def __init__(self, length_max: int = sys.maxsize) -> None:
        self.length_max = length_max
        self.bytes = 0
        self._arrivals: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._arrivals)

    def append(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self.bytes += len(arrival.delivery.payload)

    def pop(self) -> Arrival:
        arrival = self._arrivals.popleft()
        self.bytes -= len(arrival.delivery.payload)
        return arrival
