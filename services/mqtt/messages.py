"""What passes through an MQTT connection."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Delivery", "Filter", "Message", "MqttError"]


class MqttError(Exception):
    """The broker cannot be reached or refuses us; the message names it and the cause."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A topic filter to subscribe to."""

    topic: str
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish. Raises ValueError for a topic that nobody may publish to."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False

    def __post_init__(self) -> None:
        if not self.topic or any(sign in self.topic for sign in "+#\0") or len(self.topic) > 16_000:
            raise ValueError(f"not a topic to publish to: {self.topic[:200]!r}")


@dataclass(slots=True, eq=False)
class Delivery:
    """A message received. One of QoS 1 waits at the broker until `MqttLink.acknowledge` was called with it.

    `generation` counts the connections; `received_at` is epoch seconds.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    generation: int
    received_at: float
    packet_id: int = field(default=0, repr=False)
    acknowledged: bool = field(default=False, repr=False)
