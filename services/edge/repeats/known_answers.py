"""What the cloud last answered of each device, and what it was asked since."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hybrid_model.cut import differing_bits
from services.edge.journal.records import Key
from services.edge.repeats.rule import RepeatRule

__all__ = ["KnownAnswer", "KnownAnswers"]

#: Devices that are remembered: some KiB each. Beyond, those that rose the longest ago are forgotten.
_DEVICES_MAX: Final = 4096


@dataclass(slots=True, eq=False)
class KnownAnswer:
    """The cloud's answer to the sample `id`, whose features are known; `reused`: so often in a row since one rose.

    `top`: (class index, name, probability) of the most probable classes, where labels carry them.
    """

    id: str
    features: bytes
    arrived_s: float
    class_index: int = -1
    confidence: float | None = None
    top: tuple[tuple[int, str, float], ...] | None = None
    reused: int = 0


@dataclass(slots=True, eq=False)
class _Device:
    answered: KnownAnswer | None = None
    asked: KnownAnswer | None = None


class KnownAnswers:
    """Those of one network's devices, in memory: after a restart, the next hard sample of each device rises.

    `recall` and `rose` are for the worker's thread, `settled` is for any.
    """

    def __init__(self, devices_max: int = _DEVICES_MAX) -> None:
        self._devices: OrderedDict[str, _Device] = OrderedDict()
        self._devices_max = devices_max
        self._lock = threading.Lock()

    def recall(self, device: str, features: bytes, arrived_s: float, rule: RepeatRule) -> KnownAnswer | None:
        """The answer that holds for a hard sample that came at `arrived_s` (monotonic), and is counted as reused."""
        if rule.reuse_bits is None:
            return None
        with self._lock:
            known = self._devices.get(device)
            answer = None if known is None else known.answered
            if (
                answer is None
                or answer.reused >= rule.reuse_samples_max
                or arrived_s - answer.arrived_s > rule.reuse_s
                or differing_bits(answer.features, features) > rule.reuse_bits
            ):
                return None
            answer.reused += 1
            return answer

    def rose(self, key: Key, features: bytes, arrived_s: float, rule: RepeatRule) -> None:
        """A hard sample rises. Its answer is waited for, but where one of so near a sample is on its way already."""
        if rule.reuse_bits is None:
            return
        device, sample = key
        with self._lock:
            known = self._devices.setdefault(device, _Device())
            self._devices.move_to_end(device)
            if known.answered is not None:
                known.answered.reused = 0
            asked = known.asked
            if (
                asked is None
                or arrived_s - asked.arrived_s > rule.reuse_s
                or differing_bits(asked.features, features) > rule.reuse_bits
            ):
                known.asked = KnownAnswer(sample, features, arrived_s)
            while len(self._devices) > self._devices_max:
                self._devices.popitem(last=False)

    def settled(
        self,
        key: Key,
        class_index: int | None,
        confidence: float | None,
        top: tuple[tuple[int, str, float], ...] | None = None,
    ) -> None:
        """A hard sample has its final label; no class where the cloud did not give it."""
        device, sample = key
        with self._lock:
            known = self._devices.get(device)
            if known is None or known.asked is None or known.asked.id != sample:
                return
            asked, known.asked = known.asked, None
            if class_index is not None:
                asked.class_index, asked.confidence, asked.top = class_index, confidence, top
                known.answered = asked
