"""What a worker does now and then between its batches: rows done, deadlines, labels left behind, bounds, gauges."""

from __future__ import annotations

import time
from typing import Final

from services.edge.connection import Connection
from services.edge.errors import StorageError
from services.edge.escalate.sender import Uplink
from services.edge.exits.control import ExitControl
from services.edge.journal.disk import Storage
from services.edge.journal.samples import Journal
from services.edge.observe.drift import DriftGauges
from services.edge.publish.finals import Finals, Settlement
from services.edge.publish.outbox import Outbox
from services.edge.upkeep.deadlines import Deadlines
from services.edge.upkeep.journal_limits import Bounds
from services.metrics import EdgeMetrics

__all__ = ["Chores"]

_TICK_S: Final = 0.1
_GAUGES_S: Final = 1.0
_CLOCK_S: Final = 10.0
_EXPIRED_MAX: Final = 256


class Chores:
    """For the worker's thread only. By monotonic time: a clock that jumps changes nothing."""

    def __init__(
        self,
        journal: Journal,
        storage: Storage,
        bounds: Bounds,
        deadlines: Deadlines,
        finals: Finals,
        outbox: Outbox,
        uplink: Uplink,
        connection: Connection,
        exits: ExitControl,
        metrics: EdgeMetrics,
        drift: DriftGauges,
        *,
        dedupe_window_s: float,
    ) -> None:
        self._journal, self._storage, self._bounds, self._deadlines = journal, storage, bounds, deadlines
        self._finals, self._outbox, self._uplink = finals, outbox, uplink
        self._intake, self._link, self._metrics = connection.intake, connection.link, metrics
        self._connection, self._exits, self._drift = connection, exits, drift
        self._dedupe_window_s = dedupe_window_s
        self._told: dict[str, int] = {}
        self._ticked_at = self._gauged_at = self._clocked_at = time.monotonic()

    def do(self) -> None:
        """Do what is due. What the disk refuses is done another time."""
        now = time.monotonic()
        try:
            self._outbox.refill()
            if now - self._ticked_at < _TICK_S:
                return
            self._ticked_at = now
            self.mark_done()
            self._settle_expired()
            self._bounds.shed()
            self._bounds.evict()
            if now - self._clocked_at >= _CLOCK_S:
                self._pass_time(now)
            self._storage.worked("chores")
        except StorageError as error:
            self._storage.failed("chores", error)
        self._outbox.pump()
        self._exits.tick(
            waiting=self._journal.counts["waiting"], fill=max(self._uplink.fill, self._bounds.waiting_ratio)
        )
        self._connection.tell()
        if now - self._gauged_at >= _GAUGES_S:
            self._gauged_at = now
            self._set_gauges()

    def mark_done(self) -> None:
        """Mark the rows whose labels the broker has acknowledged. Raises StorageError."""
        done = self._outbox.take_done()
        try:
            self._journal.mark_done(done)
        except BaseException:
            self._outbox.give_back(done)
            raise
        self._outbox.forget(done)

    def _settle_expired(self) -> None:
        expired = self._deadlines.expired(limit=_EXPIRED_MAX)
        if not expired:
            return
        reason: Settlement = "deadline" if self._uplink.reachable else "offline"
        try:
            self._finals.settle(list(self._journal.waiting_rows(expired).values()), reason)
        except BaseException:
            self._deadlines.add((key, 0.0) for key in expired)
            raise

    def _pass_time(self, now: float) -> None:
        if self._link.connected:
            self._journal.pass_time(now - self._clocked_at)
        self._clocked_at = now
        self._journal.forget(older_than_s=self._dedupe_window_s)
        self._journal.rejections.forget()
        if len(self._deadlines) > 2 * self._journal.counts["waiting"] + _EXPIRED_MAX:
            self._deadlines.keep(self._journal.waiting_keys())

    def _set_gauges(self) -> None:
        metrics, link = self._metrics, self._link
        self._drift.show()
        metrics.inbox_length.set(len(self._intake))
        metrics.mqtt_connected.set(link.connected)
        metrics.journal_bytes.set(self._journal.bytes_used)
        metrics.journal_waiting_ratio.set(self._bounds.waiting_ratio)
        for state, count in self._journal.counts.items():
            metrics.journal_rows.labels(state=state).set(count)
        self._catch_up("messages_acknowledged", link.sent_acknowledgements)
        self._catch_up("acknowledgements_discarded", link.discarded_acknowledgements)
        self._catch_up("mqtt_connections", link.generation)
        self._catch_up("mqtt_session_taken_over", link.taken_over)

    def _catch_up(self, name: str, total: int) -> None:
        """Bring a counter to what the link has counted."""
        seen = self._told.get(name, 0)
        getattr(self._metrics, name).inc(total - seen)
        self._told[name] = total
