"""Tallies of the latest steps: sums over a while, and how old what waits must be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from services.control.tally import Tally


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
        for one in reversed(self._steps):
            if seconds >= self._seconds_max:
                return
            seconds += one.seconds
            yield one

    def over(self, seconds: float, *, samples: float = 0.0) -> Tally:
        """The sum of the latest steps that make up at least so many seconds and samples, or of all there are."""
        total = Tally()
        for one in self.latest_first():
            if total.seconds >= seconds and total.samples >= samples:
                break
            total += one
        return total

    def age_of(self, waiting: int) -> float:
        """How long ago, in seconds, the oldest of the latest `waiting` samples that rose did so.

        Where answers come in order that is the age of the oldest that waits.
        """
        age = 0.0
        for one in self.latest_first():
            if waiting <= one.escalated:
                return age + (one.seconds * waiting / one.escalated if waiting > 0 else 0.0)
            waiting -= one.escalated
            age += one.seconds
        return age
