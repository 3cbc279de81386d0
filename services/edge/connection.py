"""The worker's MQTT connection: its session and filters, its status, and the inbox that says when to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.edge.exits import ExitControl
from services.edge.exits.status import ControlStatus
from services.edge.ingest import Inbox
from services.edge.ingest.inbox import Arrival
from services.edge.journal import Spool
from services.messages import InputTopics, Status, control_topic, status_topic
from services.metrics import EdgeMetrics
from services.mqtt import Delivery, Filter, Message, MqttLink
from services.settings import Settings

__all__ = ["Connection"]


class Connection:
    """`link` sends and acknowledges; `inbox` holds what came and was not handled.

    Args:
        settings: All of them.
        spool: Where the filters of earlier runs are remembered.
        status: The worker's, as long as it is online.
        metrics: What is counted.
        exits: Hears of set-points, and tells what it follows.

    Raises:
        SettingsError: for secret or certificate files that cannot be read.
    """

    def __init__(
        self, *, settings: Settings, spool: Spool, status: Status, metrics: EdgeMetrics, exits: ExitControl
    ) -> None:
        self._settings, self._spool, self.status, self._exits = settings, spool, status, exits
        edge, site = settings.edge, settings.site.name
        topics = InputTopics([source.topic for source in edge.inputs], site)
        filters = [Filter(topic, one.qos) for topic, one in zip(topics.filters, edge.inputs, strict=True)]
        self._control_topic = control_topic(site)
        filters.append(Filter(self._control_topic, retained="always"))
        self._topics = [one.topic for one in filters]
        self._held_back = False
        self.inbox = Inbox(
            settings=edge, limits=settings.limits, topics=topics, metrics=metrics, acknowledge=self.acknowledge
        )
        self.link = MqttLink(
            settings.mqtt,
            client_id=f"dewpoint-{site}-{spool.worker}",
            filters=filters,
            dropped=[topic for topic in spool.filters() if topic not in self._topics],
            on_message=self._take,
            on_open=exits.session_opened,
            on_close=exits.session_closed,
            may_read=self._may_read,
            birth=self._present,
            will=self._message(Status("offline", status.worker, status.bundle, status.kernel)),
        )
        self._control_status = ControlStatus(self.link, exits, self._present)

    def start(self) -> None:
        """Connect and subscribe. Raises MqttError, EdgeError where the spool cannot be written."""
        self._spool.remember_filters([*self._spool.filters(), *self._topics])
        self.link.start()
        self._spool.remember_filters(self._topics)

    def arrivals(self, timeout_s: float) -> list[Arrival]:
        """A micro-batch of what came; none after `timeout_s`."""
        edge = self._settings.edge
        arrivals = self.inbox.batch(edge.batch_max, linger_s=edge.linger_ms / 1000, timeout_s=timeout_s)
        if self._held_back and self.inbox.has_room():
            self._held_back = False
            self.link.wake()
        return arrivals

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages to the broker, in order of receipt."""
        self.link.acknowledge(deliveries)

    def nudge(self) -> None:
        """Let a waiting `arrivals` return at once."""
        self.inbox.nudge()

    def tell(self) -> None:
        """Publish the status again where control has changed. Call it often, in one thread."""
        self._control_status.tell()

    def stop(self, *, farewell: bool) -> None:
        """Publish what is due, say `stopped` if there was a beginning, and disconnect."""
        stopped = Status("stopped", self.status.worker, self.status.bundle, self.status.kernel)
        if farewell:
            self.link.stop(farewell=self._message(stopped))
        else:
            self.link.stop(timeout_s=0)

    def _take(self, delivery: Delivery) -> None:
        """Set-points are no samples: they are heard as soon as they are read, not after the samples before them."""
        if delivery.topic == self._control_topic:
            self._exits.set_point(delivery.payload)
            self.acknowledge([delivery])
        else:
            self.inbox.take(delivery)

    def _present(self) -> Message:
        return self._message(replace(self.status, control=self._exits.status()))

    def _may_read(self) -> bool:
        room = self.inbox.has_room()
        if not room:
            self._held_back = True
            # Asked again below: the worker may have made room before it could see that we wait for it.
            room = self.inbox.has_room()
        return room

    def _message(self, status: Status) -> Message:
        topic = status_topic(self._settings.site.name, status.worker)
        return Message(topic, status.encode(), qos=1, retain=True)
