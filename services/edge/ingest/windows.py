"""The windows of all devices within one micro-batch: drafted in memory, true once the journal has committed them."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError, StorageError
from services.edge.journal.records import Batch
from services.edge.journal.windows import StoredWindows
from services.edge.window import Readings, Window, WindowRule, WindowState, advance, restarted
from services.messages import window_stream
from services.metrics import DeviceNames, EdgeMetrics
from services.settings import InputSettings

__all__ = ["WindowAssembly", "window_rule"]

_DEVICES_MAX: Final = 2048
_BYTES_MAX: Final = 64 << 20
_FORGET_EVERY: Final = 1024


@dataclass(slots=True)
class _Committed:
    """What the journal holds of a device, without the marks themselves."""

    state: WindowState
    marks: int


class WindowAssembly:
    """Windows of one input's devices. For the worker's thread only.

    `feed` and `reset` draft; `write` puts the draft into a batch; `committed` makes it true after the commit. Memory
    holds the states of the devices heard last.

    Args:
        stored: What the journal holds of them.
        rule: How readings become windows.
        metrics: Counts what is cut off and begun anew.
        devices: Names of devices in metrics.
        channels: Of a reading.
        network_id: Of the network that they are for, where they are stored apart from those of other networks: one
            device may send readings to two.
    """

    def __init__(
        self,
        *,
        stored: StoredWindows,
        rule: WindowRule,
        metrics: EdgeMetrics,
        devices: DeviceNames,
        channels: int,
        network_id: str | None = None,
    ) -> None:
        self._stored, self._rule, self._metrics, self._devices = stored, rule, metrics, devices
        self._channels = channels
        self._network_id = network_id
        self._devices_max = min(_DEVICES_MAX, 1 + _BYTES_MAX // rule.state_bytes_max(channels))
        self._recent: OrderedDict[str, _Committed] = OrderedDict()
        self._draft: dict[str, WindowState] = {}
        self._marks: dict[tuple[str, int, bytes], None] = {}

    @property
    def state_bytes_max(self) -> int:
        """What the state of a device takes at most."""
        return self._rule.state_bytes_max(self._channels)

    def stream(self, device: str) -> str:
        """By what name a device's readings are stored, and its windows called."""
        return window_stream(device, self._network_id)

    def feed(self, device: str, readings: Readings, payload_hash: bytes) -> list[Window] | None:
        """Take in a message's readings: the windows that they fill, or None where they are a redelivery."""
        mark, stream = readings.mark, self.stream(device)
        if mark is not None and (
            (stream, mark, payload_hash) in self._marks or self._stored.knows(stream, mark, payload_hash)
        ):
            return None
        before = self._state(stream)
        step = advance(before, readings, self._rule)
        self._put(stream, step.state)
        if mark is not None:
            self._marks[stream, mark, payload_hash] = None
        if step.cut is not None:
            self._metrics.window_tails.labels(cause=step.cut).inc()
        if step.state.epoch != before.epoch:
            self._metrics.window_epochs.labels(device=self._devices(device)).inc()
        return step.windows

    def reset(self, device: str) -> None:
        """A reading of this device was rejected: its next window starts afresh."""
        before = self._state(self.stream(device))
        if len(before.rows):
            self._put(self.stream(device), restarted(before))
            self._metrics.window_tails.labels(cause="rejected").inc()

    def write(self, batch: Batch) -> None:
        """Put the draft into the batch's transaction."""
        batch.windows.update(self._draft)
        batch.marks.extend(self._marks)

    def committed(self) -> None:
        """The batch is committed."""
        for device, state in self._draft.items():
            self._of(device).state = state
        for device, _, _ in self._marks:
            self._of(device).marks += 1
        for device in self._draft:
            committed = self._of(device)
            if committed.marks >= self._rule.marks_kept + _FORGET_EVERY:
                with contextlib.suppress(StorageError):  # the batch is committed all the same; next time, then
                    self._stored.forget_marks(device, kept=self._rule.marks_kept)
                    committed.marks = self._rule.marks_kept
        self._draft.clear()
        self._marks.clear()
        while len(self._recent) > self._devices_max:
            self._recent.popitem(last=False)

    def forget(self, devices: Iterable[str]) -> None:
        """Nothing is stored of these devices any more."""
        for device in devices:
            self._recent.pop(device, None)

    def _put(self, device: str, state: WindowState) -> None:
        """Draft it behind all others: in this order they are stored, and whoever is stored first is forgotten first."""
        self._draft.pop(device, None)
        self._draft[device] = state

    def _state(self, device: str) -> WindowState:
        return self._draft.get(device) or self._of(device).state

    def _of(self, device: str) -> _Committed:
        committed = self._recent.get(device)
        if committed is None:
            state = self._stored.of(device, channels=self._channels)
            committed = self._recent[device] = _Committed(state, self._stored.marks_of(device))
        self._recent.move_to_end(device)
        return committed


def window_rule(settings: InputSettings, expected: Input) -> WindowRule:
    """How the readings of an input become samples of the bundle. Raises EdgeError where they cannot."""
    length = settings.window.length or expected.shape[1]
    if length != expected.shape[1]:
        raise EdgeError(f"input {settings.topic}: window.length {length} is not the bundle's {expected.shape[1]}")
    hop = settings.window.hop or length
    if hop > length:
        raise EdgeError(f"input {settings.topic}: window.hop {hop} is greater than the length {length}")
    return WindowRule(
        length=length,
        hop=hop,
        period_s=None if expected.rate_hz is None else 1.0 / expected.rate_hz,
        max_gap_s=settings.window.max_gap_s,
        marks_kept=settings.window.marks_kept,
    )
