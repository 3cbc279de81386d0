"""Labels on their way out: handed to the sinks, marked done once each sink has taken them.

Memory holds a bounded part of what is due; the rest lies in the journal as `final` and is fetched when there is room.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.edge.journal import Journal
from services.edge.journal.records import Key
from services.edge.publish.sinks import LabelSink, OutgoingLabel
from services.messages import LabelStatus
from services.metrics import EdgeMetrics
from services.traces import EdgeTraces

__all__ = ["Outbox"]

#: Labels that wait in memory for one sink: some seconds' worth. The others wait in the journal.
_PENDING_MAX: Final = 4096
_REFILL_ROWS: Final = 512
#: After a refusal, seconds until a final label is offered to that sink again.
_REFUSED_PAUSE_S: Final = 5.0


@dataclass(slots=True, eq=False)
class _Outgoing:
    label: OutgoingLabel
    key: Key | None  # of a final label; others have no row to mark
    outstanding: int  # sinks that have not taken it yet


class _Queue:
    """Labels that wait for one sink, and those that it refused, until they are offered again."""

    def __init__(self, sink: LabelSink) -> None:
        self.sink = sink
        self.pending: deque[_Outgoing] = deque()
        self.refused: deque[tuple[float, _Outgoing]] = deque()

    def __len__(self) -> int:
        return len(self.pending) + len(self.refused)

    def offer_again(self) -> None:
        """Put back what was refused long enough ago."""
        while self.refused and self.refused[0][0] <= time.monotonic():
            self.pending.append(self.refused.popleft()[1])


class Outbox:
    """Publishes labels without waiting; safe from any thread."""

    def __init__(
        self, *, sinks: Sequence[LabelSink], journal: Journal, metrics: EdgeMetrics, traces: EdgeTraces
    ) -> None:
        self._journal, self._traces = journal, traces
        self._queues = [_Queue(sink) for sink in sinks]
        # A sink may answer before it returns, in a thread that holds this already.
        self._lock = threading.RLock()
        self._pumping = False
        # A row that turns final and the look for final rows take turns: else one label might be published twice.
        self._order = threading.Lock()
        self._owed: set[Key] = set()
        self._done: deque[Key] = deque()
        # Behind: final rows lie in the journal and not here, those of an earlier run or what there was no room for.
        # Until all are here, later ones wait there too: labels go out in their order.
        self._behind, self._missed = True, False
        self._cursor = 0
        self._unsent = metrics.drops.labels(reason="label_unsent")
        self._refused = metrics.drops.labels(reason="publish_refused")

    def finals(self, labels: Iterable[tuple[Key, bytes]]) -> None:
        """Publish labels whose rows are committed as final; one that is on its way already is left alone."""
        with self._lock:
            for key, payload in labels:
                if self._behind or not self._has_room():
                    self._behind = self._missed = True
                else:
                    self._add_final(key, payload)
        self.pump()

    def again(self, labels: Iterable[tuple[Key, bytes]]) -> None:
        """Publish labels of rows that are done once more; dropped where there is no room."""
        with self._lock:
            for key, payload in labels:
                if self._has_room():
                    self._add_final(key, payload)
                else:
                    self._unsent.inc()
        self.pump()

    def others(self, labels: Iterable[tuple[Key, bytes]], status: LabelStatus = "provisional") -> None:
        """Publish labels without a row, provisionals and corrections; dropped where there is no room."""
        with self._lock:
            for key, payload in labels:
                if self._has_room():
                    self._add(key, payload, status, row=None)
                else:
                    self._unsent.inc()
        self.pump()

    def finalise(self, labels: Sequence[tuple[Key, bytes]]) -> list[bool]:
        """Commit the final labels of waiting rows and publish them: True where the row was waiting."""
        with self._order:
            changed = self._journal.finalise(labels)
            self.finals(label for label, was_waiting in zip(labels, changed, strict=True) if was_waiting)
        return changed

    def pump(self) -> None:
        """Hand to the sinks what they have room for."""
        with self._lock:
            if self._pumping:
                return
            self._pumping = True
            try:
                for queue in self._queues:
                    queue.offer_again()
                    while queue.pending and queue.sink.put(
                        queue.pending[0].label, partial(self._answered, queue, queue.pending[0])
                    ):
                        queue.pending.popleft()
            finally:
                self._pumping = False

    @contextmanager
    def published(self) -> Iterator[list[Key]]:
        """Keys whose labels all sinks have taken since the last time, to be marked done within the block.

        Where the block raises they come again; after it, a redelivery of such a sample publishes its label again.
        """
        keys: list[Key] = []
        while self._done:
            keys.append(self._done.popleft())
        try:
            yield keys
        except BaseException:
            self._done.extendleft(reversed(keys))
            raise
        with self._lock:
            self._owed.difference_update(keys)

    def refill(self) -> None:
        """Fetch final rows from the journal that are not in memory, if there are and there is room.

        For the worker's thread only, which also marks rows done. Raises StorageError.
        """
        if not self._behind or self._longest() > _PENDING_MAX // 2:
            return
        with self._order:
            rows = self._journal.unpublished(after=self._cursor, limit=_REFILL_ROWS)
            with self._lock:
                for row in rows:
                    self._add_final(row.key, row.label)
                if len(rows) == _REFILL_ROWS:
                    self._cursor = rows[-1].n
                else:  # the end; what was missed on the way may lie before it
                    self._behind = self._missed and self._cursor > 0
                    self._cursor, self._missed = 0, False
        self.pump()

    def close(self) -> None:
        """Close the sinks."""
        for queue in self._queues:
            queue.sink.close()

    def _longest(self) -> int:
        return max(len(queue) for queue in self._queues)

    def _has_room(self) -> bool:
        return self._longest() < _PENDING_MAX

    def _add_final(self, key: Key, payload: bytes) -> None:
        """With the lock held."""
        if key not in self._owed:
            self._owed.add(key)
            self._add(key, payload, "final", row=key)

    def _add(self, key: Key, payload: bytes, status: LabelStatus, *, row: Key | None) -> None:
        """With the lock held."""
        label = OutgoingLabel(key[0], payload, status, self._traces.of_label(key))
        outgoing = _Outgoing(label, row, len(self._queues))
        for queue in self._queues:
            queue.pending.append(outgoing)

    def _answered(self, queue: _Queue, outgoing: _Outgoing, taken: bool) -> None:
        """A sink has taken or refused a label; in any thread."""
        with self._lock:
            if taken:
                outgoing.outstanding -= 1
                if not outgoing.outstanding and outgoing.key is not None:
                    self._done.append(outgoing.key)
            else:
                self._refused.inc()
                if outgoing.key is not None:
                    queue.refused.append((time.monotonic() + _REFUSED_PAUSE_S, outgoing))
            waiting = len(queue)
        if waiting:
            self.pump()
