"""Set-points as they come by MQTT: those of the site are for all networks, a network's own go before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.edge.exits.control import ExitControl
from services.messages import Status, control_topic, network_control_topic

__all__ = ["SetPoints"]


class SetPoints:
    """Hands set-points to the exits that they are for, and knows what is followed. `hear` is for the link's thread.

    Args:
        site: The site's name.
        exits: By the name of its bundle, each network's; the first is what the worker's status tells as `control`.

    Attributes:
        topic: Where the site's set-point lies.
        own_topics: Where a network's own lies, of several networks; none where there is one alone.
    """

    def __init__(self, site: str, exits: Mapping[str, ExitControl]) -> None:
        self._exits = exits
        self.topic = control_topic(site)
        self._by_topic = {network_control_topic(site, name): name for name in exits} if len(exits) > 1 else {}
        self._own_topic = {name: topic for topic, name in self._by_topic.items()}
        self._payloads: dict[str, bytes] = {}
        self._heard_here: set[str] = set()

    @property
    def own_topics(self) -> list[str]:
        """See `SetPoints`."""
        return list(self._by_topic)

    @property
    def heard(self) -> int:
        """Set-points that came since the start, accepted or refused, one a network that it was for."""
        return sum(each.heard for each in self._exits.values())

    def hear(self, topic: str, payload: bytes) -> bool:
        """Whether it was a set-point; an empty one returns to the site's, or to the settings."""
        if topic != self.topic and topic not in self._by_topic:
            return False
        self._payloads[topic] = payload
        self._heard_here.add(topic)
        for name in self._exits if topic == self.topic else [self._by_topic[topic]]:
            own = self._payloads.get(self._own_topic.get(name, ""))
            self._exits[name].set_point(own or self._payloads.get(self.topic, b""))
        return True

    def session_opened(self, session_present: bool) -> None:
        """The broker is connected: where it had no session of ours, what is retained comes again, or has come."""
        if not session_present:
            self._payloads = {topic: self._payloads[topic] for topic in self._heard_here}
        for each in self._exits.values():
            each.session_opened(session_present)

    def session_closed(self) -> None:
        """The connection is lost."""
        self._heard_here.clear()
        for each in self._exits.values():
            each.session_closed()

    def status(self) -> list[dict[str, Any]]:
        """`control` of each network."""
        return [each.status() for each in self._exits.values()]

    def told(self, status: Status) -> Status:
        """The worker's status with what is followed now; of several networks also by name."""
        controls = self.status()
        networks = None if len(controls) == 1 else dict(zip(self._exits, controls, strict=True))
        return replace(status, control=controls[0], networks=networks)
