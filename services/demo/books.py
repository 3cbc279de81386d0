"""The books of a demonstration: what was sent, what the broker took, which labels came back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.messages import Label

Key = tuple[str, str]


@dataclass(slots=True)
class Entry:
    """One sample: its place in the stream and true class, when it was whole, and the labels that came for it."""

    number: int
    class_index: int
    captured_at: float
    input_bytes: int = 0
    acknowledged: bool = False
    final: Label | None = None
    latency_s: float | None = None


@dataclass
class DeviceTally:
    """Figures of one device so far."""

    sent: int = 0
    finals: int = 0
    confident: int = 0
    out_of_domain: int = 0
    right: int = 0


@dataclass(frozen=True)
class StreamTally:
    """Figures of the whole stream so far. Latencies are seconds, sorted, by path ("edge", "cloud")."""

    sent: int
    acknowledged: int
    finals: int
    waiting: int
    duplicates: int
    strangers: int
    confident: int
    out_of_domain: int
    right: int
    energy_j: float
    reasons: dict[str, int]
    latencies_s: dict[str, list[float]]
    devices: dict[str, DeviceTally]
    started_at: float | None
    last_final_at: float | None

    @property
    def throughput_hz(self) -> float:
        """Finals per second between the first sample and the last final."""
        if self.started_at is None or self.last_final_at is None or self.last_final_at <= self.started_at:
            return 0.0
        return self.finals / (self.last_final_at - self.started_at)


def percentile(ordered: list[float], share: float) -> float | None:
    """The smallest of `ordered` values that at least `share` of them do not exceed; none of none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Books:
    """Keeps a line for every sample. Filled by the sender's and the consumer's threads, read by the table's."""

    _entries: dict[Key, Entry] = field(default_factory=dict)
    _duplicates: int = 0
    _strangers: int = 0
    _started_at: float | None = None
    _last_final_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, key: Key, *, number: int, class_index: int, captured_at: float, input_bytes: int = 0) -> None:
        """A sample is about to be published. Raises ValueError if its key was used before."""
        with self._lock:
            if key in self._entries:
                raise ValueError(f"sample {key} is sent twice")
            if self._started_at is None:
                self._started_at = time.time()
            self._entries[key] = Entry(number, class_index, captured_at, input_bytes)

    def acknowledged(self, keys: Iterable[Key]) -> None:
        """The broker has taken these samples: from now on each is owed a final label."""
        with self._lock:
            for key in keys:
                self._entries[key].acknowledged = True

    def label(self, label: Label, *, arrived_at: float) -> None:
        """A label has arrived. Corrections are no finals; a second final of a key counts as a duplicate."""
        with self._lock:
            entry = self._entries.get((label.device, label.id))
            if entry is None:
                self._strangers += 1
            elif label.status == "final" and entry.final is not None:
                self._duplicates += 1
            elif label.status == "final":
                entry.final = label
                entry.latency_s = arrived_at - entry.captured_at
                self._last_final_at = arrived_at

    @property
    def lost(self) -> list[Key]:
        """Samples that the broker has acknowledged and that have no final label (yet)."""
        with self._lock:
            return [key for key, entry in self._entries.items() if entry.acknowledged and entry.final is None]

    def entries(self) -> list[Entry]:
        """All lines, in the order in which they were sent."""
        with self._lock:
            return list(self._entries.values())

    def tally(self) -> StreamTally:
        """Count everything anew."""
        with self._lock:
            return self._count()

    def _count(self) -> StreamTally:
        devices: dict[str, DeviceTally] = {}
        reasons: dict[str, int] = {}
        latencies: dict[str, list[float]] = {"edge": [], "cloud": []}
        acknowledged, energy_j = 0, 0.0
        for (name, _), entry in self._entries.items():
            device = devices.setdefault(name, DeviceTally())
            device.sent += 1
            acknowledged += entry.acknowledged
            final = entry.final
            if final is None:
                continue
            device.finals += 1
            device.confident += final.reason == "confident"
            device.out_of_domain += final.in_domain is False
            device.right += final.class_index == entry.class_index
            reasons[final.reason] = reasons.get(final.reason, 0) + 1
            energy_j += final.energy_j or 0.0
            if entry.latency_s is not None:
                latencies["cloud" if final.answered_by_cloud else "edge"].append(entry.latency_s)
        finals = sum(device.finals for device in devices.values())
        return StreamTally(
            sent=len(self._entries),
            acknowledged=acknowledged,
            finals=finals,
            waiting=len(self._entries) - finals,
            duplicates=self._duplicates,
            strangers=self._strangers,
            confident=sum(device.confident for device in devices.values()),
            out_of_domain=sum(device.out_of_domain for device in devices.values()),
            right=sum(device.right for device in devices.values()),
            energy_j=energy_j,
            reasons=reasons,
            latencies_s={path: sorted(values) for path, values in latencies.items()},
            devices=devices,
            started_at=self._started_at,
            last_final_at=self._last_final_at,
        )
