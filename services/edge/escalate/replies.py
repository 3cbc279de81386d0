"""Reads the cloud's replies: commits what they decide, publishes it, and only then deletes them from Redis."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from services.common.backoff import BackOff
from services.common.logs import SparseLog, get_logger
from services.edge.errors import StorageError
from services.edge.escalate.streams import Streams
from services.edge.journal import Disk, Journal
from services.edge.journal.records import Key
from services.edge.publish import Finals, Outbox
from services.edge.publish.labels import correction
from services.feature_stream import EdgeFeatures, ReplyEntry, StreamUnavailableError
from services.messages import Label, MessageError, Reply
from services.metrics import EdgeMetrics

__all__ = ["ReplyReader"]

#: Replies read at once and committed in one transaction: it is short, and its cost is spread.
_COUNT: Final = 256
#: Milliseconds that a read waits for a reply: by so much a stop, and replies of older streams, may be late.
_BLOCK_MS: Final = 250
#: Seconds until the next try after a first failure: a connection that was merely cut is back by then.
_PAUSE_MIN_S: Final = 0.2
#: Seconds between tries at most: an outage costs little, and its end is noticed soon.
_PAUSE_MAX_S: Final = 5.0


class ReplyReader:
    """A thread that waits for replies of all streams.

    Args:
        streams: Where replies come from.
        journal: Where rows wait for them.
        finals: Finalises rows.
        outbox: Publishes corrections.
        disk: Hears when the journal cannot be written.
        metrics: Counts outcomes.
        corrections: Publish an answer that comes after the final.
    """

    def __init__(
        self,
        *,
        streams: Streams,
        journal: Journal,
        finals: Finals,
        outbox: Outbox,
        disk: Disk,
        metrics: EdgeMetrics,
        corrections: bool,
    ) -> None:
        self._streams, self._journal, self._finals, self._outbox = streams, journal, finals, outbox
        self._disk, self._outcomes = disk, metrics.replies_received
        self._writer = f"replies of {streams.network_id}"
        self._corrections = corrections
        self._log, self._sparse_log = get_logger("edge"), SparseLog("edge")
        self._back_off = BackOff(first_s=_PAUSE_MIN_S, most_s=_PAUSE_MAX_S)
        self._interruptions = 0
        self._commits = 0
        self._reading = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)

    @property
    def interruptions(self) -> int:
        """How often reading failed: Redis went away, and may have lost what it held."""
        return self._interruptions

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what was read and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def read_to_end(self) -> None:
        """Commit and delete every reply that lies in Redis now. Raises StreamUnavailableError."""
        for features in self._streams.by_key.values():
            while self._read(features):
                pass

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for features in self._streams.older:
                    self._read(features)
                self._wait_and_read(self._streams.current)
                self._disk.worked(self._writer)
                self._back_off.reset()
            except StorageError as error:  # the replies stay in Redis until they can be committed
                self._disk.failed(self._writer, error)
                self._stopping.wait(self._back_off.next_s())
            except Exception as error:
                if not isinstance(error, StreamUnavailableError):  # that one the sender reports
                    self._log.exception("replies_failed")
                self._interruptions += 1
                self._stopping.wait(self._back_off.next_s())

    def _wait_and_read(self, features: EdgeFeatures) -> None:
        # The lock is not held while waiting: whoever reads to the end must not wait for a reply that never comes.
        commits = self._commits
        entries = features.read_replies(_COUNT, _BLOCK_MS)
        if entries:
            with self._reading:
                if self._commits != commits:
                    entries = features.read_replies(_COUNT, 0)  # part of them were committed meanwhile
                self._commit(features, entries)

    def _read(self, features: EdgeFeatures) -> int:
        with self._reading:
            entries = features.read_replies(_COUNT, 0)
            self._commit(features, entries)
            return len(entries)

    def _commit(self, features: EdgeFeatures, entries: Sequence[ReplyEntry]) -> None:
        if entries:
            self._commits += 1
            self._handle(entries)
            features.delete_replies(entries)

    def _handle(self, entries: Sequence[ReplyEntry]) -> None:
        replies: dict[Key, Reply] = {}
        for entry in entries:
            if isinstance(entry.reply, MessageError):
                self._outcomes.labels(outcome="malformed").inc()
                reason, detail = entry.reply.reason, entry.reply.detail
                self._sparse_log.warning("reply_malformed", reason=reason, detail=detail)
            elif replies.setdefault((entry.reply.device, entry.reply.id), entry.reply) is not entry.reply:
                self._outcomes.labels(outcome="late").inc()  # the one before it in this very read is the answer
        rows = self._journal.waiting_rows(replies)
        failed = sum(1 for key in rows if replies[key].error is not None)
        finalised = self._finals.answer([(row, replies[key]) for key, row in rows.items()])
        self._outcomes.labels(outcome="failed").inc(failed)
        self._outcomes.labels(outcome="finalised").inc(max(0, finalised - failed))
        late = [reply for key, reply in replies.items() if key not in rows]
        if late:
            self._handle_late(late)

    def _handle_late(self, late: Sequence[Reply]) -> None:
        """Replies that no row waits for: their label is final already, or forgotten."""
        known = self._journal.known((reply.device, reply.id) for reply in late)
        corrections = []
        for reply in late:
            row = known.get((reply.device, reply.id))
            self._outcomes.labels(outcome="unknown" if row is None else "late").inc()
            if row is None or not self._corrections or reply.class_index is None:
                continue
            final = Label.decode(row.label)
            network = self._finals.network(final.bundle.rpartition("@")[2])
            if network is not None and final.exit != "cloud" and reply.class_index < len(network.classes):
                corrections.append(((reply.device, reply.id), correction(final, reply, network).encode()))
        if corrections:
            self._outbox.others(corrections, "correction")
