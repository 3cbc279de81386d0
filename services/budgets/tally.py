"""What was counted in a while, what a sample costs, and the latest counts put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Costs", "Tallies", "Tally"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one sample costs: joules by exit, joules of one that the cloud answers, bytes of features of one that rises.

    The joules are those of the labels: every stage on the path, once, estimated (mac view). They are 0 where the bundle
    does not tell its layers.
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


class Tallies:
    """The latest steps, the newest last; those that are no longer needed go."""

    def __init__(self, *, seconds_max: float = 3600.0, steps_max: int = 4000) -> None:
        self._seconds_max = seconds_max
        self._steps: deque[Tally] = deque(maxlen=steps_max)

    def add(self, tally: Tally) -> None:
        """A step has ended."""
        self._steps.append(tally)

    def latest_first(self) -> Iterator[Tally]:
        """Step by step, into the past."""
        seconds = 0.0
        for step in reversed(self._steps):
            if seconds >= self._seconds_max:
                return
            seconds += step.seconds
            yield step

    def over(self, seconds: float, *, samples: float = 0.0) -> Tally:
        """The sum of the latest steps that make up at least so many seconds and samples, or of all there are."""
        total = Tally()
        for step in self.latest_first():
            if total.seconds >= seconds and total.samples >= samples:
                break
            total += step
        return total

    def age_of(self, waiting: int) -> float:
        """How long ago, in seconds, the oldest of the latest `waiting` samples that rose did so.

        Where answers come in order that is the age of the oldest that waits.
        """
        age = 0.0
        for step in self.latest_first():
            if waiting <= step.escalated:
                return age + (step.seconds * waiting / step.escalated if waiting > 0 else 0.0)
            waiting -= step.escalated
            age += step.seconds
        return age
