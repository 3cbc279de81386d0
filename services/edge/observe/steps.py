"""When the steps of a micro-batch ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = ["StepTimes"]


@dataclass(slots=True)
class StepTimes:
    """`ended_s`: by step, monotonic seconds since the batch was begun; `begun_ns`: when that was, epoch nanoseconds."""

    begun_ns: int = field(default_factory=time.time_ns)
    ended_s: dict[str, float] = field(default_factory=dict)
    _begun_s: float = field(default_factory=time.perf_counter, repr=False)

    def end(self, step: str) -> None:
        """A step has ended now; what follows belongs to the next."""
        self.ended_s[step] = time.perf_counter() - self._begun_s

    def durations_s(self) -> dict[str, float]:
        """Seconds that each step took."""
        began_s, durations = 0.0, {}
        for step, ended_s in self.ended_s.items():
            durations[step], began_s = ended_s - began_s, ended_s
        return durations
