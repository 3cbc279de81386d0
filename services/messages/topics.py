"""Which input a topic belongs to, and which device it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from services.messages.fields import MessageError
from services.messages.names import device_of_level

__all__ = ["ChannelTopic", "InputTopics", "topic_filter", "without_share"]

_KNOWN_MAX: Final = 4096
_TOPIC_CHARS_MAX: Final = 512
_SHARED: Final = re.compile(r"^\$share/[^/]+/")


def topic_filter(topic: str, site: str) -> str:
    """The MQTT filter of an input's topic: `{site}` filled in, `+` for the device and for a channel."""
    return topic.replace("{site}", site).replace("{device}", "+").replace("{channel}", "+")


def without_share(topic: str) -> str:
    """A topic or filter without the `$share/NAME/` of a shared subscription."""
    return _SHARED.sub("", topic)


class InputTopics:
    """Finds the input and the device of a topic; the first input that fits takes it.

    Args:
        topics: The topic of each input, as in the settings: with `{site}`, `{device}` and MQTT's wildcards.
        site: The site's name.

    Attributes:
        filters: The MQTT filter of each input.
    """

    def __init__(self, topics: Sequence[str], site: str) -> None:
        self.filters = [topic_filter(topic, site) for topic in topics]
        self._patterns = [_pattern(topic, site) for topic in topics]
        self._known: dict[str, tuple[int, str]] = {}

    def find(self, topic: str) -> tuple[int, str]:
        """(index of the input, device). Raises MessageError (unknown_topic, bad_device)."""
        known = self._known.get(topic)
        if known is not None:
            return known
        for index, pattern in enumerate(self._patterns):
            match = pattern.fullmatch(topic)
            if match is not None:
                found = (index, device_of_level(match["device"]))
                if len(self._known) < _KNOWN_MAX and len(topic) <= _TOPIC_CHARS_MAX:
                    self._known[topic] = found
                return found
        raise MessageError("unknown_topic", topic[:200])


class ChannelTopic:
    """Finds the channel in the topics of one input; `topic` as in the settings, with a level `{channel}`."""

    def __init__(self, topic: str, site: str) -> None:
        self._pattern = _pattern(topic, site)

    def channel(self, topic: str) -> str:
        """The channel's name, percent-decoded. Raises MessageError (unknown_topic, bad_device)."""
        match = self._pattern.fullmatch(topic)
        if match is None:
            raise MessageError("unknown_topic", topic[:200])
        return device_of_level(match["channel"])


def _pattern(topic: str, site: str) -> re.Pattern[str]:
    levels = []
    for level in without_share(topic).split("/"):
        if level == "{device}":
            levels.append("(?P<device>[^/]*)")
        elif level == "{channel}":
            levels.append("(?P<channel>[^/]*)")
        elif level == "+":
            levels.append("[^/]*")
        elif level != "#":
            levels.append(re.escape(level.replace("{site}", site)))
    pattern = "/".join(levels)
    return re.compile(pattern + "(?:/.*)?" if topic.endswith("#") else pattern, re.DOTALL)
