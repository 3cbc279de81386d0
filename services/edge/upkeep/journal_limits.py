"""Keeps the journal within its limits: old rows are forgotten, finished ones early, and the surest hard ones shed."""

from __future__ import annotations

from typing import Any, Final

from services.common.logs import get_logger
from services.edge.errors import StorageError
from services.edge.journal import Disk, Journal
from services.edge.journal.records import Key
from services.edge.publish import Finals
from services.metrics import EdgeMetrics

__all__ = ["JournalLimits"]

_WAITING_SHARE: Final = 0.5
_SHED_ROWS: Final = 256
_EVICTED_ROWS: Final = 2_000
_REJECTIONS_KEPT: Final = 1_000
_MARKS_KEPT: Final = 1_024
_PORTIONS: Final = 16  # of what is shed or evicted in one call: the rest has time until the next


class JournalLimits:
    """What the settings allow the journal. For the worker's thread only.

    Args:
        journal: What is bounded.
        finals: Finalises what is shed.
        disk: Hears when the journal cannot be written; then the next look tries again.
        metrics: Counts what is evicted.
        waiting_max: Rows that may wait.
        bytes_max: Size of the journal; waiting rows may take half of it.
        dedupe_window_s: Connected seconds for which finished rows are remembered.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        finals: Finals,
        disk: Disk,
        metrics: EdgeMetrics,
        waiting_max: int,
        bytes_max: int,
        dedupe_window_s: float,
    ) -> None:
        self._journal, self._finals, self._disk = journal, finals, disk
        self._evicted, self._marks_evicted = metrics.journal_done_evicted, metrics.window_marks_evicted
        self._waiting_max, self._waiting_bytes_max = waiting_max, _WAITING_SHARE * bytes_max
        self._dedupe_window_s = dedupe_window_s
        metrics.journal_bytes_max.set(bytes_max)
        self._log: Any = get_logger("edge")
        self._warned = False
        self._overdue = False

    @property
    def waiting_ratio(self) -> float:
        """Waiting rows against the bound of their number or bytes, whichever is nearer; above 1 some are shed."""
        rows, size = self._journal.counts["waiting"], self._journal.waiting_bytes
        return max(rows / self._waiting_max, size / self._waiting_bytes_max)

    def shed(self) -> set[Key]:
        """Finalise the surest waiting rows while there are too many. Returns the keys of those that were waiting.

        Where the disk fails, what is left of it waits for the next call.
        """
        shed: set[Key] = set()
        try:
            for _ in range(_PORTIONS):
                excess = self._excess()
                if excess <= 0:
                    break
                rows = self._journal.surest(limit=min(excess, _SHED_ROWS))
                self._finals.settle(rows, "shed")
                shed.update(row.key for row in rows)
            self._disk.worked("shed")
        except StorageError as error:
            self._disk.failed("shed", error)
        return shed

    def grow_older(self, connected_s: float) -> None:
        """So many more seconds were spent connected. Raises StorageError."""
        self._journal.pass_time(connected_s)
        self._journal.rejections.forget()
        self._overdue = True

    def forget(self) -> None:
        """Forget some of the finished rows whose time is over, if there are. Raises StorageError."""
        if self._overdue:
            self._overdue = self._journal.forget(older_than_s=self._dedupe_window_s) > 0

    def evict(self) -> None:
        """Forget the oldest finished rows while the file is too large. Raises StorageError."""
        for _ in range(_PORTIONS):
            if self._journal.over_bytes <= 0:
                self._warned = False
                return
            if self._journal.forget(older_than_s=self._dedupe_window_s):
                continue  # their time was over: nothing is lost early
            evicted = self._journal.evict(limit=_EVICTED_ROWS)
            self._evicted.inc(evicted)
            if not evicted:
                self._journal.rejections.forget(kept=_REJECTIONS_KEPT)
                self._evict_marks()
                break
        if not self._warned and self._journal.counts["done"] == 0 and self._journal.over_bytes > 0:
            self._warned = True
            self._log.warning(
                "journal_too_large",
                bytes_used=self._journal.bytes_used,
                remedy="raise edge.journal_bytes_max: what is left in it is owed, or is the windows' state",
            )

    def _evict_marks(self) -> None:
        """Forget some of what is known of readings; their windows stay."""
        windows = self._journal.windows
        self._marks_evicted.inc(windows.evict_marks(kept=max(_MARKS_KEPT, windows.marks - _EVICTED_ROWS)))

    def _excess(self) -> int:
        """How many rows too many wait."""
        waiting, size = self._journal.counts["waiting"], self._journal.waiting_bytes
        if size <= self._waiting_bytes_max or not waiting:
            return waiting - self._waiting_max
        by_bytes = int((size - self._waiting_bytes_max) * waiting / size) + 1
        return max(waiting - self._waiting_max, by_bytes)
