"""Which waiting rows are to be sent again: those whose entry is gone, the oldest first, no faster than allowed.

Those whose entry is gone because no cloud worker could read whom to answer are not: another copy would fare no better.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from services.common.logs import SparseLog
from services.edge.escalate.replies import ReplyReader
from services.edge.escalate.streams import StreamKey, Streams
from services.edge.journal import Journal
from services.edge.journal.records import Key, WaitingRow
from services.edge.publish import Finals
from services.feature_stream import EntryState
from services.messages import Escalation

__all__ = ["Resend"]

#: Waiting rows looked up in one portion: so few that fresh samples in between wait for milliseconds.
_ROWS: Final = 512
#: Share of the allowed rate that is left while the stream is long: what is added now stands before samples to come.
_SLOWED: Final = 0.1
#: Seconds' worth of the allowed rate that may lie in the stream before it counts as long.
_QUEUED_S: Final = 5.0
#: Seconds for which a rate that is not used is saved up: a pause is made up for by one burst of that size at most.
_SAVED_S: Final = 1.0
#: Seconds from one portion to the next while rows wait for their turn: ten at the default rate.
_PAUSE_S: Final = 0.05


class Resend:
    """Passes over the waiting rows, a portion at a time, so that fresh samples go between. For one thread.

    Args:
        streams: Where entries are looked for.
        journal: The rows.
        replies: Read to the end before a row whose entry is gone counts as unanswered.
        finals: Settles the rows that nobody can answer.
        per_s: Rows that are handed out in a second; a tenth of that while the stream holds more than five seconds'
            worth already, since whatever is added stands before the samples to come.
    """

    def __init__(
        self, *, streams: Streams, journal: Journal, replies: ReplyReader, finals: Finals, per_s: float
    ) -> None:
        self._streams, self._journal, self._replies, self._finals = streams, journal, replies, finals
        self._per_s = per_s
        self._log = SparseLog("edge")
        self._after: int | None = None
        self._gone: deque[WaitingRow] = deque()
        self._allowed, self._allowed_at = 0.0, time.monotonic()

    @property
    def interruptions(self) -> int:
        """How often reading replies failed: Redis went away, and may have lost what it held."""
        return self._replies.interruptions

    @property
    def pause_s(self) -> float | None:
        """Seconds until there is something to do; None where no pass is under way."""
        if self._gone:
            return _PAUSE_S
        return None if self._after is None else 0.0

    def begin(self) -> None:
        """Begin a pass: at the first row, whatever is known from an earlier one."""
        self._after = 0
        self._gone.clear()

    def portion(self, *, passed_over: Callable[[Key], bool], queued: float) -> list[WaitingRow]:
        """The next rows to send again now; often none. Raises StreamUnavailableError, StorageError.

        Args:
            passed_over: Whether a row is being sent for the first time: nobody needs to look for it.
            queued: Entries in the stream.
        """
        if not self._gone and self._after is not None:
            self._look(passed_over)
        now = time.monotonic()
        per_s = self._per_s * (_SLOWED if queued > _QUEUED_S * self._per_s else 1.0)
        most = max(1.0, _SAVED_S * per_s)
        self._allowed = min(most, self._allowed + (now - self._allowed_at) * per_s)
        self._allowed_at = now
        taken = [self._gone.popleft() for _ in range(min(int(self._allowed), len(self._gone)))]
        self._allowed -= len(taken)
        return taken

    def next_attempts(self, rows: Sequence[WaitingRow]) -> dict[StreamKey, list[Escalation]]:
        """Store the next attempt of those of `rows` that still wait; by stream. Raises StorageError."""
        by_stream: dict[StreamKey, list[Escalation]] = defaultdict(list)
        for row in rows:
            last = Escalation.decode(row.escalation)
            by_stream[row.network, row.partitions].append(replace(last, attempt=last.attempt + 1))
        due: dict[StreamKey, list[Escalation]] = {}
        for key, attempts in by_stream.items():
            waits = self._journal.escalate_again([((each.device, each.id), each.encode()) for each in attempts])
            due[key] = [attempt for attempt, still in zip(attempts, waits, strict=True) if still]
        return {key: attempts for key, attempts in due.items() if attempts}

    def _look(self, passed_over: Callable[[Key], bool]) -> None:
        assert self._after is not None
        rows = self._journal.waiting(after=self._after, limit=_ROWS)
        # Rows of the worker's other networks are looked up by whoever sends those.
        ours = [row for row in rows if (row.network, row.partitions) in self._streams.by_key]
        gone, unread = self._without_entry([row for row in ours if not passed_over(row.key)])
        if gone or unread:
            self._replies.read_to_end()
        if unread:
            self._give_up(unread)
        self._gone.extend(gone)
        self._after = rows[-1].n if len(rows) == _ROWS else None

    def _without_entry(self, rows: Iterable[WaitingRow]) -> tuple[list[WaitingRow], list[WaitingRow]]:
        """Rows whose entry is gone, and those of which nobody could read it."""
        by_stream: dict[StreamKey, list[WaitingRow]] = defaultdict(list)
        for row in rows:
            by_stream[row.network, row.partitions].append(row)
        found: dict[EntryState, list[WaitingRow]] = defaultdict(list)
        for key, chosen in by_stream.items():
            states = self._streams.by_key[key].entry_states([row.key for row in chosen])
            for row, state in zip(chosen, states, strict=True):
                found[state].append(row)
        return sorted(found[EntryState.GONE], key=lambda row: row.n), found[EntryState.UNREAD]

    def _give_up(self, rows: Sequence[WaitingRow]) -> None:
        given_up = self._finals.settle(rows, "failed")
        if given_up:
            device, sample = rows[0].key
            remedy = "are edge and cloud workers of one version? `dewpoint dead list` shows what came"
            self._log.warning("escalations_unreadable", device=device, id=sample, rows=given_up, remedy=remedy)
