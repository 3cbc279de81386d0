"""What was counted in a while, and what a sample costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """What one sample costs: joules by exit, joules of one that the cloud answers, bytes of features of one that rises.

    The joules are those of the labels: every stage on the path, once, estimated (mac view).
    """

    exits_j: tuple[float, ...]
    cloud_j: float
    feature_bytes: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of `seconds`: new samples, how many rose, their bytes and joules, and final labels by the cloud."""

    seconds: float = 0.0
    samples: int = 0
    escalated: int = 0
    feature_bytes: int = 0
    energy_j: float = 0.0
    answered: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.seconds + other.seconds,
            self.samples + other.samples,
            self.escalated + other.escalated,
            self.feature_bytes + other.feature_bytes,
            self.energy_j + other.energy_j,
            self.answered + other.answered,
        )
