"""The edge worker: one thread that handles micro-batches, and the threads around it, started and stopped in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from hybrid_model.bundle import Manifest
from services.edge.deadlines import Deadlines
from services.edge.finals import Finals, Settlement
from services.edge.intake import Intake
from services.edge.journal import Journal
from services.edge.labels import LabelMaker
from services.edge.outbox import Outbox
from services.edge.replies import ReplyReader
from services.edge.router import Engine, Router
from services.edge.spool import Spool
from services.edge.streams import Streams
from services.edge.topics import InputTopics
from services.edge.uplink import Uplink
from services.logs import get_logger
from services.messages import Status, status_topic
from services.metrics import DeviceNames, EdgeMetrics
from services.mqtt import Delivery, Filter, Message, MqttLink
from services.settings import Settings

__all__ = ["EdgeWorker"]

_TICK_S: Final = 0.1
_GAUGES_S: Final = 1.0
_CLOCK_S: Final = 10.0
_EXPIRED_MAX: Final = 256


class EdgeWorker:
    """Everything between a started broker and labels. `start`, then `stop`; each once.

    Args:
        settings: All of them.
        manifest: The bundle's.
        engine: Its edge half.
        spool: The worker's folder, held.
        metrics: What is counted.

    Raises:
        EdgeError: where an input cannot feed the bundle, or the journal cannot be opened.
    """

    def __init__(
        self, settings: Settings, manifest: Manifest, engine: Engine, spool: Spool, metrics: EdgeMetrics
    ) -> None:
        self._settings, self._spool, self._metrics = settings, spool, metrics
        self._log = get_logger("edge")
        edge, site = settings.edge, settings.site.name
        labels = LabelMaker(manifest)
        self._status = Status(state="online", worker=spool.worker, bundle=labels.bundle, kernel=engine.kernel)
        devices = DeviceNames(settings.metrics.devices_max)
        topics = InputTopics(edge.inputs, site)
        self._filters = [Filter(topic, one.qos) for topic, one in zip(topics.filters, edge.inputs, strict=True)]
        self._intake = Intake(edge, settings.limits, topics, metrics, self._acknowledge)
        self._link = self._make_link()
        self._journal = Journal(spool.journal_path, power_safe=edge.durability == "power")
        self._journal.remember_network(labels.network)
        self._outbox = Outbox(self._link, self._journal, metrics, site=site)
        self._finals = Finals(self._journal, self._outbox, metrics, devices)
        self._streams = Streams(
            settings.redis, manifest.network_id, self._journal.awaited_streams(), site=site, worker=spool.worker
        )
        self._replies = ReplyReader(
            self._streams, self._journal, self._finals, self._outbox, metrics, corrections=edge.correction
        )
        self._uplink = Uplink(
            self._streams,
            self._journal,
            self._replies,
            self._finals,
            metrics,
            devices,
            queue_length_max=edge.queue_length_max,
        )
        self._deadlines = Deadlines()
        self._router = Router(
            settings,
            manifest,
            engine,
            self._journal,
            self._outbox,
            self._uplink,
            metrics,
            devices,
            worker=spool.worker,
            acknowledge=self._link.acknowledge,
            on_deadlines=self._deadlines.add,
        )
        self._stopping = False
        self._failed = threading.Event()
        self._held_back = False
        self._told: dict[str, int] = {}
        self._ticked_at = self._gauged_at = self._clocked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether samples come in and are handled."""
        return self._link.connected and self.healthy

    @property
    def healthy(self) -> bool:
        """Whether the worker's thread runs."""
        return self._thread.is_alive() and not self._failed.is_set()

    def start(self) -> None:
        """Connect and begin. Raises MqttError where the broker cannot be reached or refuses."""
        filters = [one.topic for one in self._filters]
        self._spool.remember_filters([*self._spool.filters(), *filters])
        self._deadlines.add(self._deadlines_of_earlier_runs())
        try:
            self._link.start()
        except BaseException:
            self._journal.close()
            raise
        self._spool.remember_filters(filters)
        self._thread.start()
        self._replies.start()
        self._uplink.start()
        self._log.info(
            "edge_started", worker=self._spool.worker, bundle=self._status.bundle, kernel=self._status.kernel
        )

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the worker's thread has failed, False after `timeout_s`."""
        return self._failed.wait(timeout_s)

    def stop(self) -> None:
        """Finish the batch in hand, send and publish what is due, within bounds; the rest lies in the journal."""
        self._stopping = True
        self._intake.nudge()
        self._thread.join(self._settings.edge.drain_s)
        finished = not self._thread.is_alive()
        self._uplink.stop(timeout_s=min(2.0, self._settings.redis.timeout_s))
        self._replies.stop()
        farewell = Status("stopped", self._status.worker, self._status.bundle, self._status.kernel)
        self._link.stop(farewell=self._message(farewell))
        self._streams.close()
        if finished:
            self._journal.mark_done(self._outbox.take_done())
            self._journal.close()
        self._log.info("edge_stopped", worker=self._spool.worker, batch_finished=finished)

    # The worker's thread

    def _run(self) -> None:
        edge = self._settings.edge
        try:
            while not self._stopping:
                arrivals = self._intake.batch(edge.batch_max, linger_s=edge.linger_ms / 1000, timeout_s=_TICK_S)
                if self._held_back and self._intake.has_room():
                    self._held_back = False
                    self._link.wake()
                if arrivals:
                    self._router.handle(arrivals)
                if time.monotonic() - self._ticked_at >= _TICK_S:
                    self._tick()
        except Exception:
            self._log.exception("edge_failed")
            self._failed.set()

    def _tick(self) -> None:
        """What is due now and then: rows done, deadlines, labels left behind, gauges, forgetting."""
        now = time.monotonic()
        self._ticked_at = now
        done = self._outbox.take_done()
        self._journal.mark_done(done)
        self._outbox.forget(done)
        expired = self._deadlines.expired(limit=_EXPIRED_MAX)
        if expired:
            reason: Settlement = "deadline" if self._uplink.reachable else "offline"
            self._finals.settle(list(self._journal.waiting_rows(expired).values()), reason)
        self._outbox.refill()
        self._outbox.pump()
        if now - self._gauged_at >= _GAUGES_S:
            self._gauged_at = now
            self._set_gauges()
        if now - self._clocked_at >= _CLOCK_S:
            if self._link.connected:
                self._journal.pass_time(now - self._clocked_at)
            self._clocked_at = now
            evicted = self._journal.forget(
                older_than_s=self._settings.edge.dedupe_window_s, bytes_max=self._settings.edge.journal_bytes_max
            )
            self._metrics.journal_done_evicted.inc(evicted)
            if len(self._deadlines) > 2 * self._journal.counts["waiting"] + _EXPIRED_MAX:
                self._deadlines.keep(self._journal.waiting_keys())

    def _set_gauges(self) -> None:
        metrics, link = self._metrics, self._link
        metrics.inbox_length.set(len(self._intake))
        metrics.mqtt_connected.set(link.connected)
        for state, count in self._journal.counts.items():
            metrics.journal_rows.labels(state=state).set(count)
        self._catch_up("messages_acknowledged", link.sent_acknowledgements)
        self._catch_up("acknowledgements_discarded", link.discarded_acknowledgements)
        self._catch_up("mqtt_connections", link.generation)

    def _catch_up(self, name: str, total: int) -> None:
        """Bring a counter to what the link has counted."""
        seen = self._told.get(name, 0)
        getattr(self._metrics, name).inc(total - seen)
        self._told[name] = total

    # Parts

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._link.acknowledge(deliveries)

    def _may_read(self) -> bool:
        room = self._intake.has_room()
        if not room:
            self._held_back = True
            # Asked again below: the worker may have made room before it could see that we wait for it.
            room = self._intake.has_room()
        return room

    def _deadlines_of_earlier_runs(self) -> list[tuple[tuple[str, str], float]]:
        found, after = [], 0
        while rows := self._journal.waiting(after=after, limit=1000):
            found += [(row.key, row.deadline_s) for row in rows if row.deadline_s is not None]
            after = rows[-1].n
        return found

    def _make_link(self) -> MqttLink:
        kept = {one.topic for one in self._filters}
        offline = Status("offline", self._status.worker, self._status.bundle, self._status.kernel)
        return MqttLink(
            self._settings.mqtt,
            client_id=f"dewpoint-{self._settings.site.name}-{self._spool.worker}",
            filters=self._filters,
            dropped=[topic for topic in self._spool.filters() if topic not in kept],
            on_message=self._intake.take,
            may_read=self._may_read,
            birth=self._message(self._status),
            will=self._message(offline),
        )

    def _message(self, status: Status) -> Message:
        topic = status_topic(self._settings.site.name, status.worker)
        return Message(topic, status.encode(), qos=1, retain=True)
