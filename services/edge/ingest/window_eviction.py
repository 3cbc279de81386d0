"""Keeps what is stored of windows within bounds, however many devices there are: who is silent longest goes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.common.logs import SparseLog
from services.edge.journal.windows import StoredWindows
from services.metrics import EdgeMetrics

__all__ = ["WindowEviction"]

_STATES_SHARE: Final = 4  # of the journal's bytes, a quarter; of its marks an eighth
_MARKS_SHARE: Final = 8
_MARK_BYTES: Final = 128  # of a mark and of its place in the index
_SLACK: Final = 64
_LOG_S: Final = 60.0


class WindowEviction:
    """For the worker's thread only.

    Args:
        stored: What is bounded.
        metrics: Counts what is evicted.
        devices_max: Devices whose readings are kept; fewer, where their states would fill a quarter of the journal.
        state_bytes: What the state of one device takes at most.
        journal_bytes_max: Size of the journal; marks take an eighth of it.
    """

    def __init__(
        self,
        *,
        stored: StoredWindows,
        metrics: EdgeMetrics,
        devices_max: int,
        state_bytes: int,
        journal_bytes_max: int,
    ) -> None:
        self._stored, self._metrics = stored, metrics
        self.devices_max = max(1, min(devices_max, journal_bytes_max // _STATES_SHARE // state_bytes))
        self.marks_max = journal_bytes_max // _MARKS_SHARE // _MARK_BYTES
        self._log = SparseLog("edge", burst=1, period_s=_LOG_S)

    def evict(self) -> Sequence[str]:
        """Evict what there is too much of. Returns the devices of which nothing is left. Raises StorageError."""
        if self._stored.marks > self.marks_max:
            evicted_marks = self._stored.evict_marks(kept=self.marks_max - self.marks_max // _SLACK)
            self._metrics.window_marks_evicted.inc(evicted_marks)
        evicted = self._stored.evict_devices(kept=self.devices_max)
        if not evicted:
            return ()
        begun = sum(each.begun for each in evicted)
        self._metrics.window_devices_evicted.inc(len(evicted))
        self._metrics.window_tails.labels(cause="evicted").inc(begun)
        self._log.warning(
            "window_devices_evicted",
            device=evicted[0].device,
            devices=len(evicted),
            devices_max=self.devices_max,
            windows_begun=begun,
            remedy="raise edge.window_devices_max if these devices are yours; else see who may publish",
        )
        return [each.device for each in evicted]
