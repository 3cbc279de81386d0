"""The worker's MQTT connection: its session and filters, its status, the inbox that says when to read, whether another
process uses the worker's name, and what Home Assistant is told."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from services.common.logs import SparseLog
from services.edge.exits import SetPoints
from services.edge.exits.status import ControlStatus
from services.edge.ingest import Inbox
from services.edge.ingest.inbox import Arrival
from services.edge.journal import Spool
from services.edge.publish.announcements import Announcements
from services.messages import (
    InputTopics,
    MessageError,
    Status,
    home_assistant_status_topic,
    status_topic,
)
from services.metrics import EdgeMetrics
from services.mqtt import Delivery, Filter, Listener, Message, MqttLink
from services.settings import Settings

__all__ = ["Connection"]

_STATUS_BYTES_MAX: Final = 1 << 16
_REMEDY: Final = (
    "stop one of them; give each worker a name and a spool of its own (edge.worker, edge.spool), never a copy; with"
    " --adopt carry on only for one that will not return"
)


class Connection(Listener):
    """`link` sends and acknowledges; `inbox` holds what came and was not handled; `announcements` tell Home Assistant.

    Args:
        settings: All of them.
        spool: Where the filters of earlier runs are remembered.
        status: The worker's, as long as it is online.
        metrics: What is counted.
        set_points: Hears of set-points, and knows what is followed.

    Raises:
        SettingsError: for secret or certificate files that cannot be read.
        EdgeError: where a note in the spool cannot be read.
    """

    def __init__(
        self, *, settings: Settings, spool: Spool, status: Status, metrics: EdgeMetrics, set_points: SetPoints
    ) -> None:
        self._settings, self._spool, self._set_points = settings, spool, set_points
        # Of the process, not of the spool: a copy of the spool would have the same.
        self.status = replace(status, instance=secrets.token_hex(8))
        self._own_status_seen = False
        self._log = SparseLog("edge", burst=1, period_s=60.0)
        edge, site = settings.edge, settings.site.name
        topics = InputTopics([each.topic for each in edge.inputs], site)
        filters = [Filter(topic, each.qos) for topic, each in zip(topics.filters, edge.inputs, strict=True)]
        filters.append(Filter(set_points.topic, retained="always"))
        # Brokers that were set up before there were several networks may not let us hear of these.
        filters += [Filter(topic, retained="always", optional=True) for topic in set_points.own_topics]
        # QoS 0: nothing that a process before this one wrote may wait in the session.
        self._status_topic = status_topic(site, status.worker)
        filters.append(Filter(self._status_topic, qos=0, retained="always", optional=True))
        self._home_assistant_topic = home_assistant_status_topic(edge.home_assistant.prefix)
        if edge.home_assistant.enabled:
            filters.append(Filter(self._home_assistant_topic, qos=0, optional=True))
        self._topics = [each.topic for each in filters]
        self._held_back = False
        self.inbox = Inbox(
            settings=edge, limits=settings.limits, topics=topics, metrics=metrics, acknowledge=self.acknowledge
        )
        self.link = MqttLink(
            settings.mqtt,
            client_id=f"dewpoint-{site}-{spool.worker}",
            filters=filters,
            dropped=[topic for topic in spool.filters() if topic not in self._topics],
            will=self._message(replace(self.status, state="offline")),
            listener=self,
        )
        self._control_status = ControlStatus(self.link, set_points, self.birth)
        self.announcements = Announcements(settings=settings, spool=spool, link=self.link, metrics=metrics)

    @property
    def impediments(self) -> list[str]:
        """That another process uses the worker's name, if so: said also while this one has the session."""
        if not self.link.contested:
            return []
        return [f"another client uses the name of worker {self.status.worker}: {_REMEDY}"]

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
        """Publish what is due: the status where control has changed, devices to Home Assistant. Call it often."""
        self._control_status.tell()
        self.announcements.tell()

    def stop(self, *, farewell: bool) -> None:
        """Publish what is due, say `stopped` if there was a beginning, and disconnect."""
        if farewell:
            self.link.stop(farewell=self._message(replace(self.status, state="stopped")))
        else:
            self.link.stop(timeout_s=0)

    # What the link calls, in its thread

    def received(self, delivery: Delivery) -> None:
        """Set-points are no samples: they are heard as soon as they are read, not after the samples before them."""
        if self._set_points.hear(delivery.topic, delivery.payload):
            self.acknowledge([delivery])
        elif delivery.topic == self._status_topic:
            self._compare(delivery)
            self.acknowledge([delivery])
        elif delivery.topic == self._home_assistant_topic and self._settings.edge.home_assistant.enabled:
            self.announcements.hear(delivery.payload)
            self.acknowledge([delivery])
        else:
            self.inbox.take(delivery)

    def may_read(self) -> bool:
        """Whether the inbox has room."""
        room = self.inbox.has_room()
        if not room:
            self._held_back = True
            # Asked again below: the worker may have made room before it could see that we wait for it.
            room = self.inbox.has_room()
        return room

    def birth(self) -> Message:
        """The status as it is now."""
        return self._message(self._set_points.told(self.status))

    def opened(self, session_present: bool) -> None:
        """The exits' affair."""
        self._set_points.session_opened(session_present)

    def closed(self) -> None:
        """The exits' affair."""
        self._set_points.session_closed()

    def contested(self, sign: str) -> None:
        """Another process uses the worker's name."""
        self._log.warning("edge_name_in_use", worker=self.status.worker, sign=sign, remedy=_REMEDY)

    def _compare(self, delivery: Delivery) -> None:
        """Whether another process has written the worker's status since this one did.

        What lies there before is that of an earlier process, as a restart leaves it.
        """
        if not delivery.payload or len(delivery.payload) > _STATUS_BYTES_MAX:
            return
        try:
            status = Status.decode(delivery.payload)
        except MessageError:
            return
        if status.instance == self.status.instance:
            self._own_status_seen = True
        elif self._own_status_seen:
            self.link.rival_seen(now=status.state == "online" and not delivery.retain)

    def _message(self, status: Status) -> Message:
        return Message(self._status_topic, status.encode(), qos=1, retain=True)
