"""How sure each device's labels were lately, from the labels themselves."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final

from services.messages import Label

__all__ = ["DeviceLabels"]

_DEVICES_MAX: Final = 1000
_KEPT: Final = 50


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
            kept = self._confidences.setdefault(label.device, deque(maxlen=_KEPT))
            kept.append(label.confidence)
            self._confidences.move_to_end(label.device)
            if len(self._confidences) > _DEVICES_MAX:
                self._confidences.popitem(last=False)

    def confidence(self, device: str) -> float | None:
        """The mean over the latest labels; None where there is none."""
        with self._lock:
            kept = self._confidences.get(device)
            return sum(kept) / len(kept) if kept else None
