"""Messages of one channel each: which channel a topic names, and the value that it brings."""

from __future__ import annotations

from dataclasses import dataclass

from services.edge.errors import EdgeError
from services.edge.ingest.decoding import PayloadKind
from services.edge.ingest.decoding.sensor import SensorKind
from services.messages import ChannelTopic, MessageError
from services.settings import InputSettings

__all__ = ["ChannelValue", "TopicJoin", "topic_join"]


@dataclass(frozen=True, slots=True)
class ChannelValue:
    """What a message says of channel number `channel`: `t` epoch seconds, or none; no value where the last is held."""

    channel: int
    t: float | None
    value: float | None


class TopicJoin:
    """Reads the messages of one input whose channels have topics of their own.

    Args:
        kind: Its decoder.
        topic: As in the settings, with a level `{channel}`.
        site: The site's name.
    """

    def __init__(self, kind: SensorKind, topic: str, site: str) -> None:
        self._kind, self._topic = kind, ChannelTopic(topic, site)
        self._numbers = {name: number for number, name in enumerate(kind.channel_names)}

    def value(self, topic: str, payload: bytes) -> ChannelValue:
        """What a message says. Raises MessageError; not_meant for a channel that the network does not take."""
        name = self._topic.channel(topic)
        number = self._numbers.get(name)
        if number is None:
            raise MessageError("not_meant", f"channel {name!r} is none of join.channels")
        t, value = self._kind.value(payload, number)
        return ChannelValue(number, t, value)


def topic_join(settings: InputSettings, kind: PayloadKind, site: str) -> TopicJoin:
    """The join of an input that has one. Raises EdgeError where its kind has no readings by channel."""
    if not isinstance(kind, SensorKind):
        raise EdgeError(f"input {settings.topic}: join is for kind 'sensor'")
    return TopicJoin(kind, settings.topic, site)
