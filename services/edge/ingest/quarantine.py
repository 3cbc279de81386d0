"""No message can stop a worker: what was in hand when its process ended uncleanly runs alone the next time.

The attempt is committed before it is made. A message that ends the process each time is rejected after so many.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from services.common.logs import get_logger
from services.edge.errors import StorageError
from services.edge.ingest.inbox import Arrival
from services.edge.journal.in_hand import InHand
from services.edge.journal.rejections import Attempts
from services.messages import MessageError
from services.metrics import EdgeMetrics

__all__ = ["Quarantine", "Run"]

_REASON: Final = "poison"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Arrivals that are handled together. `suspect`: one that runs alone, and may end the process."""

    arrivals: Sequence[Arrival]
    suspect: bool = False


class Quarantine:
    """Divides arrivals into runs, and keeps account of what is in hand. For the worker's thread only.

    Args:
        attempts: The journal's counts.
        in_hand: The note that outlives the process. What it holds now was in hand at an unclean stop.
        metrics: Counts lone runs.
        max_deliveries: Lone attempts that a message has.

    Raises:
        StorageError: where the journal cannot be written.
    """

    def __init__(self, *, attempts: Attempts, in_hand: InHand, metrics: EdgeMetrics, max_deliveries: int) -> None:
        self._attempts, self._in_hand, self._max_deliveries = attempts, in_hand, max_deliveries
        self._lone_runs = metrics.lone_runs
        self._log: Any = get_logger("edge")
        if in_hand.left:
            attempts.note(in_hand.left)
            self._log.warning("stopped_uncleanly", messages_in_hand=len(in_hand.left))
        self._suspects = attempts.counts()
        in_hand.clear()

    def runs(self, arrivals: Sequence[Arrival]) -> Iterator[Run]:
        """The arrivals in their order: suspects alone, those between them together."""
        start = 0
        if self._suspects:
            for at, arrival in enumerate(arrivals):
                if arrival.hash in self._suspects:
                    if start < at:
                        yield Run(arrivals[start:at])
                    yield self._lone(arrival)
                    start = at + 1
        if start < len(arrivals):
            yield Run(arrivals[start:])

    def begin(self, run: Run) -> None:
        """Note that it is in hand; of a suspect, that one more attempt is made. Raises StorageError."""
        self._in_hand.write([arrival.hash for arrival in run.arrivals])
        if run.suspect:
            [arrival] = run.arrivals
            self._attempts.begin(arrival.hash)
            self._suspects[arrival.hash] += 1
            self._lone_runs.inc()

    def end(self, run: Run) -> None:
        """It was handled. Raises StorageError."""
        self._in_hand.clear()
        if run.suspect:
            [arrival] = run.arrivals
            self._attempts.forget(arrival.hash)
            self._suspects.pop(arrival.hash, None)

    def put_down(self) -> None:
        """What was in hand was not handled, for a reason that lies not in it."""
        with contextlib.suppress(StorageError):
            self._in_hand.clear()

    def _lone(self, arrival: Arrival) -> Run:
        count = self._suspects[arrival.hash]
        if count < self._max_deliveries:
            return Run([arrival], suspect=True)
        # It stays among the suspects: if it comes again it is not tried again.
        refusal = MessageError(_REASON, f"each of {count} lone attempts ended the process")
        return Run([replace(arrival, refusal=refusal)])
