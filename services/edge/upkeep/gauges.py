"""Gauges of the worker as a whole, and counters that follow what its connection has counted."""

from __future__ import annotations

from services.edge.connection import Connection
from services.edge.journal import Journal
from services.edge.upkeep.journal_limits import JournalLimits
from services.metrics import EdgeMetrics

__all__ = ["WorkerGauges"]


class WorkerGauges:
    """For the worker's thread only."""

    def __init__(
        self, *, connection: Connection, journal: Journal, limits: JournalLimits, metrics: EdgeMetrics
    ) -> None:
        self._connection, self._journal, self._limits, self._metrics = connection, journal, limits, metrics
        self._counted: dict[str, int] = {}

    def show(self) -> None:
        """Set all of them."""
        metrics, link = self._metrics, self._connection.link
        metrics.inbox_length.set(len(self._connection.inbox))
        metrics.mqtt_connected.set(link.connected)
        metrics.publishes_in_flight.set(link.owed)
        metrics.journal_bytes.set(self._journal.bytes_used)
        metrics.journal_waiting_ratio.set(self._limits.waiting_ratio)
        for state, count in self._journal.counts.items():
            metrics.journal_rows.labels(state=state).set(count)
        self._catch_up("messages_acknowledged", link.sent_acknowledgements)
        self._catch_up("acknowledgements_discarded", link.discarded_acknowledgements)
        self._catch_up("mqtt_connections", link.generation)
        self._catch_up("mqtt_session_taken_over", link.taken_over)

    def _catch_up(self, name: str, total: int) -> None:
        """Bring a counter to what the link has counted."""
        getattr(self._metrics, name).inc(total - self._counted.get(name, 0))
        self._counted[name] = total
