"""Labels on their way out: published with QoS 1, marked done once the broker has acknowledged them.

Memory holds a bounded part of what is due; the rest lies in the journal as `final` and is fetched when there is room.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.edge.journal.records import Key
from services.edge.journal.samples import Journal
from services.messages import LabelStatus, label_topic
from services.metrics import EdgeMetrics
from services.mqtt import MqttLink, Outcome
from services.traces import EdgeTraces

__all__ = ["Outbox"]

_PENDING_MAX: Final = 4096
_REFILL_ROWS: Final = 512
_REFUSED_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Outgoing:
    topic: str
    payload: bytes
    key: Key | None  # of a final label; others have no row to mark
    status: LabelStatus
    properties: tuple[tuple[str, str], ...]


class Outbox:
    """Publishes labels without waiting; safe from any thread."""

    def __init__(
        self, link: MqttLink, journal: Journal, metrics: EdgeMetrics, traces: EdgeTraces, *, site: str
    ) -> None:
        self._link, self._journal, self._traces, self._site = link, journal, traces, site
        self._lock = threading.Lock()
        # A row that turns final and the look for final rows take turns: else one label might be published twice.
        self._order = threading.Lock()
        self._pending: deque[_Outgoing] = deque()
        self._owed: set[Key] = set()
        self._done: deque[Key] = deque()
        # Behind: final rows lie in the journal and not here, those of an earlier run or what there was no room for.
        # Until all are here, later ones wait there too: labels go out in their order.
        self._behind, self._missed = True, False
        self._refused_until: float | None = None
        self._cursor = 0
        self._topics: dict[str, str] = {}
        self._published = {
            status: metrics.labels_published.labels(status=status) for status in ("final", "provisional", "correction")
        }
        self._unheard = {
            status: metrics.labels_without_subscriber.labels(status=status)
            for status in ("final", "provisional", "correction")
        }
        self._in_flight = metrics.publishes_in_flight
        self._unsent = metrics.drops.labels(reason="label_unsent")
        self._refused = metrics.drops.labels(reason="publish_refused")

    def finals(self, labels: Iterable[tuple[Key, bytes]]) -> None:
        """Publish labels whose rows are committed as final; one that is on its way already is left alone."""
        with self._lock:
            for key, payload in labels:
                if self._behind or len(self._pending) >= _PENDING_MAX:
                    self._behind = self._missed = True
                else:
                    self._append(key, payload)
        self.pump()

    def again(self, labels: Iterable[tuple[Key, bytes]]) -> None:
        """Publish labels of rows that are done once more; dropped where there is no room."""
        with self._lock:
            for key, payload in labels:
                if len(self._pending) < _PENDING_MAX:
                    self._append(key, payload)
                else:
                    self._unsent.inc()
        self.pump()

    def others(self, labels: Iterable[tuple[Key, bytes]], status: LabelStatus = "provisional") -> None:
        """Publish labels without a row, provisionals and corrections; dropped where there is no room."""
        with self._lock:
            for key, payload in labels:
                if len(self._pending) >= _PENDING_MAX:
                    self._unsent.inc()
                    continue
                properties = self._traces.of_label(key)
                self._pending.append(_Outgoing(self._topic(key[0]), payload, None, status, properties))
        self.pump()

    def finalise(self, labels: Sequence[tuple[Key, bytes]]) -> list[bool]:
        """Commit the final labels of waiting rows and publish them: True where the row was waiting."""
        with self._order:
            changed = self._journal.finalise(labels)
            self.finals(one for one, was_waiting in zip(labels, changed, strict=True) if was_waiting)
        return changed

    def pump(self) -> None:
        """Hand to the link what it has room for."""
        with self._lock:
            while self._pending:
                outgoing = self._pending[0]
                answered = partial(self._answered, outgoing)
                properties = outgoing.properties
                if not self._link.publish(outgoing.topic, outgoing.payload, on_done=answered, properties=properties):
                    return
                self._pending.popleft()

    def take_done(self) -> list[Key]:
        """Keys whose labels were acknowledged since the last call, to be marked in the journal."""
        taken = []
        while self._done:
            taken.append(self._done.popleft())
        return taken

    def give_back(self, keys: Sequence[Key]) -> None:
        """These were taken and could not be marked: to be taken again."""
        self._done.extendleft(reversed(keys))

    def forget(self, keys: Iterable[Key]) -> None:
        """These rows are marked done; from now on a redelivery of theirs publishes again."""
        with self._lock:
            self._owed.difference_update(keys)

    def refill(self) -> None:
        """Fetch final rows from the journal that are not in memory, if there are and there is room.

        For the worker's thread only, which also marks rows done. Raises StorageError.
        """
        if self._refused_until is not None and time.monotonic() >= self._refused_until:
            with self._lock:
                self._refused_until, self._behind, self._missed = None, True, True
        if not self._behind or len(self._pending) > _PENDING_MAX // 2:
            return
        with self._order:
            rows = self._journal.unpublished(after=self._cursor, limit=_REFILL_ROWS)
            with self._lock:
                for row in rows:
                    self._append(row.key, row.label)
                if len(rows) == _REFILL_ROWS:
                    self._cursor = rows[-1].n
                else:  # the end; what was missed on the way may lie before it
                    self._behind = self._missed and self._cursor > 0
                    self._cursor, self._missed = 0, False
        self.pump()

    @property
    def idle(self) -> bool:
        """Whether nothing is due."""
        return not self._pending and not self._owed and not self._behind and self._refused_until is None

    def _append(self, key: Key, payload: bytes) -> None:
        """With the lock held."""
        if key not in self._owed:
            self._owed.add(key)
            properties = self._traces.of_label(key)
            self._pending.append(_Outgoing(self._topic(key[0]), payload, key, "final", properties))

    def _answered(self, outgoing: _Outgoing, outcome: Outcome) -> None:
        """In the link's thread."""
        self._in_flight.set(self._link.owed)
        if outcome.taken:
            counted = self._unheard if outcome is Outcome.NO_SUBSCRIBERS else self._published
            counted[outgoing.status].inc()
            if outgoing.key is not None:
                self._done.append(outgoing.key)
        else:
            self._refused.inc()
            with self._lock:
                if outgoing.key is not None:
                    self._owed.discard(outgoing.key)
                    if self._refused_until is None:
                        self._refused_until = time.monotonic() + _REFUSED_PAUSE_S
        self.pump()

    def _topic(self, device: str) -> str:
        topic = self._topics.get(device)
        if topic is None:
            if len(self._topics) >= 4096:
                self._topics.clear()
            topic = self._topics[device] = label_topic(self._site, device)
        return topic
