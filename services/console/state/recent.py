"""The latest samples: what came in for each, its labels, and whether the cloud corrected it; how sure devices were."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Literal

from services.console.collect.device_inputs import DeviceInput
from services.messages import Label

__all__ = ["DeviceLabels", "Key", "RecentSample", "RecentSamples", "Which"]

Key = tuple[str, str]
Which = Literal["all", "edge", "cloud", "corrected"]

_INPUT_BYTES_MAX: Final = 64 << 20
_DEVICES_MAX: Final = 1000
#: Confidences of a device over which the mean goes.
_CONFIDENCES: Final = 50


@dataclass(slots=True, eq=False)
class RecentSample:
    """One sample as far as it is known.

    Attributes:
        key: (device, id).
        input: What came in; None where it was not seen, or is kept no longer.
        provisional: The edge's own label of a hard sample.
        final: Its final label.
        correction: A cloud answer that came after the final.
        latency_s: From capture to the final label's arrival here; None where the device's clock is not ours.
        number: Counts finals, in the order of their arrival.
    """

    key: Key
    input: DeviceInput | None = None
    provisional: Label | None = None
    final: Label | None = None
    correction: Label | None = None
    latency_s: float | None = None
    number: int = 0

    @property
    def corrected(self) -> bool:
        """Whether the cloud answered otherwise than the edge."""
        return self.correction is not None or (self.final is not None and self.final.corrected)

    def among(self, which: Which) -> bool:
        """Whether it belongs to a selection."""
        if self.final is None or which == "all":
            return self.final is not None
        if which == "corrected":
            return self.corrected
        return self.final.answered_by_cloud == (which == "cloud")


class RecentSamples:
    """Keeps the latest `kept`, inputs of 64 MiB among them. Filled by the MQTT thread, read by the page's."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._samples: OrderedDict[Key, RecentSample] = OrderedDict()
        self._finals: deque[RecentSample] = deque(maxlen=kept)
        self._input_bytes = 0
        self._number = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def input_bytes(self) -> int:
        """Bytes of the inputs that are kept."""
        return self._input_bytes

    def take_input(self, key: Key, sent: DeviceInput) -> None:
        """An input has come."""
        with self._lock:
            sample = self._of(key)
            self._drop_input(sample)
            sample.input = sent
            self._input_bytes += sent.size
            while self._input_bytes > _INPUT_BYTES_MAX or len(self._samples) > self._kept:
                self._drop_input(self._samples.popitem(last=False)[1])

    def has_input(self, key: Key) -> bool:
        """Whether the input of a sample is kept."""
        with self._lock:
            sample = self._samples.get(key)
            return sample is not None and sample.input is not None

    def take_label(self, label: Label, *, arrived_at: float) -> bool:
        """A label has come, at epoch seconds. False for a final that was known already."""
        with self._lock:
            sample = self._of((label.device, label.id))
            if label.status == "provisional":
                sample.provisional = sample.provisional or label
                return True
            if label.status == "correction":
                sample.correction = label
                return True
            if sample.final is not None:
                return False
            self._number += 1
            sample.final, sample.number = label, self._number
            waited_s = arrived_at - label.captured_at
            sample.latency_s = waited_s if 0 <= waited_s < 3600 else None
            self._finals.append(sample)
            return True

    def newest(self, count: int, which: Which = "all", *, after: int = 0) -> list[RecentSample]:
        """The newest finals of a selection, newest first; only those with a number above `after`."""
        found: list[RecentSample] = []
        with self._lock:
            for sample in reversed(self._finals):
                if len(found) == count or sample.number <= after:
                    break
                if sample.among(which):
                    found.append(sample)
        return found

    def _of(self, key: Key) -> RecentSample:
        sample = self._samples.get(key)
        if sample is None:
            sample = self._samples[key] = RecentSample(key)
            if len(self._samples) > self._kept:
                self._drop_input(self._samples.popitem(last=False)[1])
        return sample

    def _drop_input(self, sample: RecentSample) -> None:
        if sample.input is not None:
            self._input_bytes -= sample.input.size
            sample.input = None


class DeviceLabels:
    """Confidences of each device's latest fifty final labels, of a thousand devices. Any thread may ask."""

    def __init__(self) -> None:
        self._confidences: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, label: Label) -> None:
        """A label has come."""
        if label.status != "final" or label.confidence is None:
            return
        with self._lock:
            kept = self._confidences.setdefault(label.device, deque(maxlen=_CONFIDENCES))
            kept.append(label.confidence)
            self._confidences.move_to_end(label.device)
            if len(self._confidences) > _DEVICES_MAX:
                self._confidences.popitem(last=False)

    def confidence(self, device: str) -> float | None:
        """The mean over the latest labels; None where there is none."""
        with self._lock:
            kept = self._confidences.get(device)
            return sum(kept) / len(kept) if kept else None
