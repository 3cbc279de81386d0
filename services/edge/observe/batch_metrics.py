"""What a micro-batch adds to the metrics, whichever networks answered it: seconds by step, and who was heard of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.edge.ingest.inbox import Arrival
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["BatchMetrics", "StepTimes"]


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


class BatchMetrics:
    """Counts micro-batches."""

    def __init__(self, *, metrics: EdgeMetrics, devices: DeviceNames) -> None:
        self._devices, self._last_seen_time = devices, metrics.last_seen_time
        self._step_s = {step: metrics.batch_s.labels(step=step) for step in ("decode", "infer", "commit")}

    def stepped(self, steps: StepTimes) -> None:
        """A batch took its steps."""
        for step, duration_s in steps.durations_s().items():
            self._step_s[step].observe(duration_s)

    def seen(self, arrivals: Sequence[Arrival]) -> None:
        """These devices were heard of."""
        latest: dict[str, float] = {}
        for arrival in arrivals:
            if arrival.device:
                name = self._devices(arrival.device)
                latest[name] = max(arrival.delivery.received_at, latest.get(name, 0.0))
        for name, at in latest.items():
            self._last_seen_time.labels(device=name).set(at)
