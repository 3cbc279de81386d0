"""Labels by MQTT: `dewpoint/SITE/label/DEVICE`, QoS 1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from services.edge.publish.sinks.sink import LabelSink, OutgoingLabel, SinkContext
from services.messages import LabelStatus, label_topic
from services.mqtt import Outcome

__all__ = ["MqttSink"]

#: Topics that are remembered; devices may be without number.
_TOPICS_MAX: Final = 4096


class MqttSink(LabelSink):
    """A label has arrived once the broker has acknowledged it."""

    name = "mqtt"

    def __init__(self, context: SinkContext) -> None:
        self._link, self._site, self._told = context.link, context.settings.site.name, context.published
        self._topics: dict[str, str] = {}
        metrics = context.metrics
        statuses: tuple[LabelStatus, ...] = ("final", "provisional", "correction")
        self._published = {status: metrics.labels_published.labels(status=status) for status in statuses}
        self._unheard = {status: metrics.labels_without_subscriber.labels(status=status) for status in statuses}

    def put(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> bool:
        """Queue it at the connection, which sends it now or after the next connect."""
        return self._link.publish(
            self._topic(label.device),
            label.payload,
            on_done=partial(self._answered, label.device, label.status, on_done),
            properties=label.properties,
        )

    def _answered(self, device: str, status: LabelStatus, on_done: Callable[[bool], None], outcome: Outcome) -> None:
        """In the link's thread."""
        if outcome.taken:
            self._told(device)
            counted = self._unheard if outcome is Outcome.NO_SUBSCRIBERS else self._published
            counted[status].inc()
        on_done(outcome.taken)

    def _topic(self, device: str) -> str:
        topic = self._topics.get(device)
        if topic is None:
            if len(self._topics) >= _TOPICS_MAX:
                self._topics.clear()
            topic = self._topics[device] = label_topic(self._site, device)
        return topic
