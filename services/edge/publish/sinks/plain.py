"""Final labels by MQTT as plain text: `dewpoint/SITE/label/DEVICE/class` and `.../confidence`, QoS 1."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from services.edge.publish.sinks.sink import LabelSink, OutgoingLabel, SinkContext
from services.messages import Label, plain_topic
from services.mqtt import Outcome

__all__ = ["PlainSink"]


@dataclass(slots=True, eq=False)
class _Fields:
    """The messages of one label: those that are still to be queued, and those that are to be answered."""

    label: OutgoingLabel
    queue: list[tuple[str, bytes]]
    on_done: Callable[[bool], None]
    unanswered: int
    taken: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, outcome: Outcome) -> None:
        """In the link's thread."""
        with self.lock:
            self.unanswered -= 1
            self.taken &= outcome.taken
            over = self.unanswered == 0
        if over:
            self.on_done(self.taken)


class PlainSink(LabelSink):
    """For those that cannot read JSON. A label has arrived once the broker has acknowledged all of its messages.

    Provisional labels and corrections are left out: without the JSON nobody could tell them from finals. A confidence
    that there is none of is an empty message.
    """

    name = "plain"

    def __init__(self, context: SinkContext) -> None:
        self._link, self._site = context.link, context.settings.site.name
        self._begun: _Fields | None = None

    def put(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> bool:
        """Queue its messages at the connection. Where there is room for some, the others follow when it comes again."""
        if label.status != "final":
            on_done(True)
            return True
        fields = self._begun
        if fields is None or fields.label is not label:
            fields = self._fields(label, on_done)
        while fields.queue:
            topic, payload = fields.queue[0]
            if not self._link.publish(topic, payload, on_done=fields.answered, properties=label.properties):
                self._begun = fields
                return False
            fields.queue.pop(0)
        self._begun = None
        return True

    def _fields(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> _Fields:
        content = Label.decode(label.payload)
        confidence = "" if content.confidence is None else f"{content.confidence:.6f}"
        queue = [
            (plain_topic(self._site, label.device, "class"), content.label.encode()),
            (plain_topic(self._site, label.device, "confidence"), confidence.encode()),
        ]
        return _Fields(label, queue, on_done, unanswered=len(queue))
