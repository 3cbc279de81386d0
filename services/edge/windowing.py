"""The windows of all devices within one micro-batch: drafted in memory, true once the journal has committed them."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Final

from services.edge.decode import Readings
from services.edge.errors import StorageFailed
from services.edge.records import Batch
from services.edge.window import DeviceWindows, Window, WindowRule, WindowState, advance, restarted
from services.edge.windows import StoredWindows
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["Windowing"]

_DEVICES_MAX: Final = 2048
_FORGET_EVERY: Final = 1024


class Windowing:
    """Windows of one input's devices. For the worker's thread only.

    `feed` and `reset` draft; `write` puts the draft into a batch; `keep` makes it true after the commit.
    """

    def __init__(
        self, stored: StoredWindows, rule: WindowRule, metrics: EdgeMetrics, devices: DeviceNames, *, channels: int
    ) -> None:
        self._stored, self._rule, self._metrics, self._devices = stored, rule, metrics, devices
        self._channels = channels
        self._kept: OrderedDict[str, DeviceWindows] = OrderedDict()
        self._draft: dict[str, WindowState] = {}
        self._marks: dict[tuple[str, int, bytes], None] = {}
        self._since_forgotten: dict[str, int] = {}

    def feed(self, device: str, readings: Readings, payload_hash: bytes) -> list[Window] | None:
        """Take in a message's readings: the windows that they fill, or None where they are a redelivery."""
        mark = readings.mark
        if mark is not None and (
            (mark, payload_hash) in self._of(device).recent or (device, mark, payload_hash) in self._marks
        ):
            return None
        before = self._state(device)
        step = advance(before, readings, self._rule)
        self._draft[device] = step.state
        if mark is not None:
            self._marks[device, mark, payload_hash] = None
        if step.cut is not None:
            self._metrics.window_tails.labels(cause=step.cut).inc()
        if step.state.epoch != before.epoch:
            self._metrics.window_epochs.labels(device=self._devices(device)).inc()
        return step.windows

    def reset(self, device: str) -> None:
        """A reading of this device was rejected: its next window starts afresh."""
        before = self._state(device)
        if len(before.rows):
            self._draft[device] = restarted(before)
            self._metrics.window_tails.labels(cause="rejected").inc()

    def write(self, batch: Batch) -> None:
        """Put the draft into the batch's transaction."""
        batch.windows.update(self._draft)
        batch.marks.extend(self._marks)

    def keep(self) -> None:
        """The batch is committed."""
        for device, mark, payload_hash in self._marks:
            self._of(device).remember(mark, payload_hash, self._rule.marks_kept)
            self._since_forgotten[device] = self._since_forgotten.get(device, 0) + 1
        for device, state in self._draft.items():
            self._of(device).state = state
            if self._since_forgotten.get(device, 0) >= _FORGET_EVERY:
                with contextlib.suppress(StorageFailed):  # the batch is committed all the same; next time, then
                    self._stored.forget_marks(device, kept=self._rule.marks_kept)
                    self._since_forgotten[device] = 0
        self._draft.clear()
        self._marks.clear()
        while len(self._kept) > _DEVICES_MAX:
            self._kept.popitem(last=False)

    def _state(self, device: str) -> WindowState:
        return self._draft.get(device) or self._of(device).state

    def _of(self, device: str) -> DeviceWindows:
        found = self._kept.get(device)
        if found is None:
            found = self._kept[device] = self._stored.of(
                device, channels=self._channels, marks_kept=self._rule.marks_kept
            )
        self._kept.move_to_end(device)
        return found
