"""The last inputs of a worker, kept in memory where that is asked for: what decisions are explained by."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from hybrid_model.runtime import EdgeResult
from services.edge.ingest.samples import Candidate
from services.edge.journal.records import Key

__all__ = ["RecentInput", "RecentInputs"]

_ENTRY_BYTES: Final = 1024  # beside its array: key, thresholds, the entry itself


@dataclass(frozen=True, slots=True, eq=False)
class RecentInput:
    """An input (H, W, C), what which network decided of it, by which thresholds; `exit_index` -1: escalated."""

    key: Key
    network_id: str
    array: npt.NDArray[Any]
    thresholds: tuple[float, ...]
    exit_index: int
    class_index: int
    confidence: float
    decided_at: float


class RecentInputs:
    """The newest `count_max` inputs, fewer where they would take more than `bytes_max` bytes. Safe from any thread."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self.count_max, self._bytes_max = count_max, bytes_max
        self._lock = threading.Lock()
        self._inputs: OrderedDict[Key, RecentInput] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def bytes_used(self) -> int:
        """Bytes that they take, about."""
        return self._bytes

    def remember(
        self,
        samples: Sequence[Candidate],
        result: EdgeResult,
        thresholds: Sequence[Sequence[float]],
        *,
        network_id: str,
    ) -> None:
        """Remember inputs of a network; `thresholds`: of each row, those in force. Does nothing where none are kept."""
        if not self.count_max:
            return
        now = time.time()
        with self._lock:
            for row in range(max(0, len(samples) - self.count_max), len(samples)):
                sample = samples[row]
                self._add(
                    RecentInput(
                        key=sample.key,
                        network_id=network_id,
                        array=sample.array.copy(),  # not the whole message of which it may be a view
                        thresholds=tuple(map(float, thresholds[row])),
                        exit_index=int(result.exit_index[row]),
                        class_index=int(result.class_index[row]),
                        confidence=float(result.confidence[row]),
                        decided_at=now,
                    )
                )

    def get(self, key: Key) -> RecentInput | None:
        """The input of this key, if it is kept."""
        with self._lock:
            return self._inputs.get(key)

    def newest(self) -> list[RecentInput]:
        """All that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._inputs.values()))

    def _add(self, entry: RecentInput) -> None:
        before = self._inputs.pop(entry.key, None)
        self._bytes += _size(entry) - (0 if before is None else _size(before))
        self._inputs[entry.key] = entry
        while len(self._inputs) > self.count_max or self._bytes > self._bytes_max:
            self._bytes -= _size(self._inputs.popitem(last=False)[1])


def _size(entry: RecentInput) -> int:
    return entry.array.nbytes + _ENTRY_BYTES
