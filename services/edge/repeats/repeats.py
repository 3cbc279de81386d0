"""Whether a hard sample needs to rise: not where the answer is known, nor where one of its device rose just now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal

from services.edge.ingest.samples import Candidate
from services.edge.repeats.known_answers import KnownAnswer, KnownAnswers
from services.edge.repeats.rule import RepeatRule

__all__ = ["Repeats"]

#: Devices whose last escalation is remembered.
_DEVICES_MAX: Final = 16_384


class Repeats:
    """Asked about each hard sample of a network. For the worker's thread only.

    Args:
        rules: Of each input; none where every hard sample rises.
        answers: What the cloud has answered.
    """

    def __init__(self, rules: Sequence[RepeatRule | None], answers: KnownAnswers) -> None:
        self._rules, self._answers = rules, answers
        self._rose_s: OrderedDict[tuple[int, str], float] = OrderedDict()

    def of(self, sample: Candidate, features: bytes) -> KnownAnswer | Literal["rate_limited"] | None:
        """The answer that is taken for this sample's, or that it may not rise yet; None where it rises now."""
        rule = self._rules[sample.arrival.input_index]
        if rule is None:
            return None
        device, arrived_s = sample.key[0], sample.arrival.arrived_s
        answer = self._answers.recall(device, features, arrived_s, rule)
        if answer is not None:
            return answer
        if rule.escalate_min_s is not None:
            key = (sample.arrival.input_index, device)
            last_s = self._rose_s.get(key)
            if last_s is not None and arrived_s - last_s < rule.escalate_min_s:
                return "rate_limited"
            self._rose_s[key] = arrived_s
            self._rose_s.move_to_end(key)
            while len(self._rose_s) > _DEVICES_MAX:
                self._rose_s.popitem(last=False)
        self._answers.rose(sample.key, features, arrived_s, rule)
        return None
