"""Which devices get series of their own."""

from __future__ import annotations

import threading

__all__ = ["OTHER_DEVICE", "DeviceNames"]

OTHER_DEVICE = "other"


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
