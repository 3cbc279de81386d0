"""Which series there are, by device, and observations that remember their trace."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from prometheus_client import Histogram

__all__ = ["OTHER_DEVICE", "DeviceNames", "observe", "observe_all"]

#: The label `device` of all devices beyond those that have series of their own.
OTHER_DEVICE: Final = "other"


class DeviceNames:
    """Which devices get series of their own: the first `devices_max`; the others share one.

    Names come from topics, which anyone may make up: without a bound they would fill the memory. One object serves
    all metrics of a process, so that a device is itself in all of them or `other` in all; any thread may ask it.
    """

    def __init__(self, devices_max: int) -> None:
        self._devices_max = devices_max
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, device: str) -> str:
        """The value of the label `device`."""
        if device in self._known:
            return device
        if len(self._known) >= self._devices_max:
            return OTHER_DEVICE
        with self._lock:
            if len(self._known) < self._devices_max:
                self._known.add(device)
        return device if device in self._known else OTHER_DEVICE


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """`observe` each of `values`: one addition a bucket, where prometheus_client lets us at its buckets."""
    try:
        bounds, buckets, total = histogram._upper_bounds, histogram._buckets, histogram._sum
    except AttributeError:  # they are no public interface
        for value in values:
            histogram.observe(value)
        return
    for place, count in Counter(bisect_left(bounds, value) for value in values).items():
        buckets[place].inc(count)
    total.inc(sum(values))


def observe(histogram: Histogram, value: float, trace_id: str | None = None) -> None:
    """Observe `value`, and keep `trace_id` as its bucket's exemplar.

    Shown in the OpenMetrics format alone, which Prometheus asks for when its storage of exemplars is switched on.

    Args:
        histogram: A histogram without labels, or one of its labelled children.
        value: In the histogram's unit.
        trace_id: 32 hex digits, as traces print them; None or "" where the sample is not traced.
    """
    histogram.observe(value, {"trace_id": trace_id} if trace_id else None)
