"""Keeps the journal within its bounds: finished rows go early, then the surest of the hard samples are shed."""

from __future__ import annotations

from typing import Any, Final

from services.common.logs import get_logger
from services.edge.errors import StorageError
from services.edge.journal.disk import Storage
from services.edge.journal.records import Key
from services.edge.journal.samples import Journal
from services.edge.publish.finals import Finals
from services.metrics import EdgeMetrics

__all__ = ["Bounds"]

_WAITING_SHARE: Final = 0.5
_SHED_ROWS: Final = 256
_EVICTED_ROWS: Final = 2_000
_REJECTIONS_KEPT: Final = 1_000
_MARKS_KEPT: Final = 1_024
_PORTIONS: Final = 16  # of what is shed or evicted in one call: the rest has time until the next


class Bounds:
    """What the settings allow the journal. For the worker's thread only.

    Args:
        journal: What is bounded.
        finals: Finalises what is shed.
        storage: Told of a disk that fails; then the next look tries again.
        metrics: Counts what is evicted.
        waiting_max: Rows that may wait.
        bytes_max: Size of the journal; waiting rows may take half of it.
    """

    def __init__(
        self,
        journal: Journal,
        finals: Finals,
        storage: Storage,
        metrics: EdgeMetrics,
        *,
        waiting_max: int,
        bytes_max: int,
    ) -> None:
        self._journal, self._finals, self._storage = journal, finals, storage
        self._evicted, self._marks_evicted = metrics.journal_done_evicted, metrics.window_marks_evicted
        self._waiting_max, self._waiting_bytes_max = waiting_max, _WAITING_SHARE * bytes_max
        metrics.journal_bytes_max.set(bytes_max)
        self._log: Any = get_logger("edge")
        self._told = False

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
            self._storage.worked("shed")
        except StorageError as error:
            self._storage.failed("shed", error)
        return shed

    def evict(self) -> None:
        """Forget the oldest finished rows while the file is too large. Raises StorageError."""
        for _ in range(_PORTIONS):
            if self._journal.over_bytes <= 0:
                self._told = False
                return
            evicted = self._journal.evict(limit=_EVICTED_ROWS)
            self._evicted.inc(evicted)
            if not evicted:
                self._journal.rejections.forget(kept=_REJECTIONS_KEPT)
                self._evict_marks()
                break
        if not self._told and self._journal.counts["done"] == 0 and self._journal.over_bytes > 0:
            self._told = True
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
