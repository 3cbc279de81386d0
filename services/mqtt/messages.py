"""What passes through an MQTT connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from hybrid_model.errors import DewpointError

__all__ = ["Delivery", "Filter", "Message", "MqttError", "Outcome"]


class MqttError(DewpointError):
    """The broker cannot be reached or refuses us; the message names it and the cause."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A topic filter to subscribe to.

    `retained`: the broker sends what it retains when the filter is `new` to the session, or at each connection
    (`always`; with MQTT 3.1.1 so it does with every filter). `optional`: the connection does without it where the
    broker refuses it.
    """

    topic: str
    qos: int = 1
    retained: Literal["new", "always"] = "new"
    optional: bool = False


class Outcome(Enum):
    """What became of a publish."""

    ACKNOWLEDGED = "acknowledged"  #: The broker has it; of QoS 0: it was written.
    NO_SUBSCRIBERS = "no_subscribers"  #: The broker has acknowledged it and given it to nobody; MQTT 5 alone tells.
    REFUSED = "refused"  #: The broker does not take it.
    LOST = "lost"  #: Of QoS 0: it went down with its connection.

    @property
    def taken(self) -> bool:
        """Whether the broker has acknowledged it, and nothing is left to be done."""
        return self in (Outcome.ACKNOWLEDGED, Outcome.NO_SUBSCRIBERS)


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish. Raises ValueError for a topic that nobody may publish to.

    `properties`: user properties; MQTT 5 alone carries them.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    properties: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        topic = self.topic
        if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic) > 16_000:
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
    properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def user_property(self, name: str) -> str | None:
        """The first user property of this name; none with MQTT 3.1.1, or where it was too much to keep."""
        return next((value for key, value in self.properties if key == name), None)
