"""The journal's rows between batches: which are done, whose time is over, which are too many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.edge.journal import Journal
from services.edge.publish import Finals, Outbox
from services.edge.publish.labels import Settlement
from services.edge.upkeep.deadlines import Deadlines
from services.edge.upkeep.journal_limits import JournalLimits

__all__ = ["RowUpkeep"]

#: Rows that are settled in one call; the others have time until the next.
_EXPIRED_MAX: Final = 256
_ROWS_PER_READ: Final = 1000


class RowUpkeep:
    """For the worker's thread only. Methods raise StorageError where the journal cannot be written.

    Args:
        journal: The rows.
        outbox: Knows which labels the sinks have taken.
        finals: Settles the rows whose time is over.
        deadlines: When that is.
        limits: What the journal may hold.
    """

    def __init__(
        self, *, journal: Journal, outbox: Outbox, finals: Finals, deadlines: Deadlines, limits: JournalLimits
    ) -> None:
        self.deadlines, self.limits = deadlines, limits
        self._journal, self._outbox, self._finals = journal, outbox, finals

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by state."""
        return self._journal.counts

    @property
    def waiting(self) -> int:
        """Hard samples that await the cloud."""
        return self._journal.counts["waiting"]

    def refill(self) -> None:
        """Fetch labels that are due and not in memory."""
        self._outbox.refill()

    def pump(self) -> None:
        """Hand labels to the sinks that have room now."""
        self._outbox.pump()

    def mark_done(self) -> None:
        """Mark the rows whose labels the sinks have taken."""
        with self._outbox.published() as keys:
            self._journal.mark_done(keys)

    def settle_expired(self, reason: Settlement) -> None:
        """Make the edge's labels final of the rows whose time is over."""
        expired = self.deadlines.expired(limit=_EXPIRED_MAX)
        if not expired:
            return
        try:
            self._finals.settle_keys(expired, reason)
        except BaseException:
            self.deadlines.add((key, 0.0) for key in expired)
            raise

    def take_up_deadlines(self) -> None:
        """Those of rows that an earlier run left waiting: their time starts anew."""
        after = 0
        while rows := self._journal.waiting(after=after, limit=_ROWS_PER_READ):
            self.deadlines.add((row.key, row.deadline_s) for row in rows if row.deadline_s is not None)
            after = rows[-1].n

    def tidy_deadlines(self) -> None:
        """Forget the deadlines of rows that have their answer, once these are the most."""
        if len(self.deadlines) > 2 * self.waiting + _EXPIRED_MAX:
            self.deadlines.retain(self._journal.waiting_keys())
