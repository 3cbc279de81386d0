"""What a worker does now and then between its batches: rows done, deadlines, labels left behind, limits, gauges."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.edge.connection import Connection
from services.edge.errors import StorageError
from services.edge.half import EdgeHalf
from services.edge.journal import Disk
from services.edge.journal.records import Key
from services.edge.publish.labels import Settlement
from services.edge.upkeep.gauges import WorkerGauges
from services.edge.upkeep.rows import RowUpkeep

__all__ = ["Housekeeping"]

_TICK_S: Final = 0.1
_GAUGES_S: Final = 1.0
_CLOCK_S: Final = 10.0


class Housekeeping:
    """For the worker's thread only. It goes by monotonic time: a clock that jumps changes nothing.

    Args:
        rows: The journal's rows: which are done, due, or too many.
        disk: Hears when the journal cannot be written.
        halves: Told of what is shed; their exits are moved once a second, by how full the feature streams are; their
            audits are computed, and drift is shown.
        connection: Publishes what the exits are held at.
        gauges: What is shown once a second.
    """

    def __init__(
        self,
        *,
        rows: RowUpkeep,
        disk: Disk,
        halves: Sequence[EdgeHalf],
        connection: Connection,
        gauges: WorkerGauges,
    ) -> None:
        self._rows, self._disk, self._halves = rows, disk, halves
        self._connection, self._gauges = connection, gauges
        self._ticked_at = self._gauged_at = self._clocked_at = time.monotonic()

    @property
    def rows(self) -> Mapping[str, int]:
        """The journal's rows by state."""
        return self._rows.counts

    def wait_for(self, deadlines: Iterable[tuple[Key, float]]) -> None:
        """These hard samples may wait so many seconds for the cloud, from now."""
        self._rows.deadlines.add(deadlines)

    def begin(self) -> None:
        """Take up the deadlines of earlier runs: their time starts anew. Raises StorageError."""
        self._rows.take_up_deadlines()

    def shed(self) -> set[Key]:
        """Finalise the surest of the hard samples that wait, where there are too many. Returns their keys."""
        shed = self._rows.limits.shed()
        if shed:
            for half in self._halves:
                half.escalations.forgo(shed)
        return shed

    def do(self) -> None:
        """Do what is due. What the disk refuses is done another time."""
        now = time.monotonic()
        for half in self._halves:
            half.observer.between_batches()
        try:
            self._rows.refill()
            if now - self._ticked_at < _TICK_S:
                return
            self._ticked_at = now
            self._tick(now)
            self._disk.worked("housekeeping")
        except StorageError as error:
            self._disk.failed("housekeeping", error)
        self._rows.pump()
        waiting, waiting_ratio = self._rows.waiting, self._rows.limits.waiting_ratio
        for half in self._halves:
            half.exits.tick(waiting=waiting, fill=max(half.escalations.fill, waiting_ratio))
        self._connection.tell()
        if now - self._gauged_at >= _GAUGES_S:
            self._gauged_at = now
            for half in self._halves:
                half.observer.show()
            self._gauges.show()

    def finish(self) -> None:
        """Mark what the sinks have taken until now, at the end. Raises StorageError."""
        self._rows.mark_done()

    def _tick(self, now: float) -> None:
        self._rows.mark_done()
        reason: Settlement = "deadline" if all(half.escalations.reachable for half in self._halves) else "offline"
        self._rows.settle_expired(reason)
        self.shed()
        self._rows.limits.forget()
        self._rows.limits.evict()
        if now - self._clocked_at >= _CLOCK_S:
            passed_s, self._clocked_at = now - self._clocked_at, now
            self._rows.limits.grow_older(passed_s if self._connection.link.connected else 0.0)
            self._rows.tidy_deadlines()
