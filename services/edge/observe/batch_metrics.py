"""What a batch adds to the metrics: samples, exits and latencies by device, joules by stage, seconds by step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from prometheus_client import Histogram

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.samples import Candidate
from services.edge.journal.records import Key
from services.metrics import DeviceNames, EdgeMetrics, observe

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
    """Counts what one bundle's edge half computes; `provisional`: hard samples get a provisional label."""

    def __init__(
        self, *, manifest: Manifest, metrics: EdgeMetrics, devices: DeviceNames, provisional: bool = True
    ) -> None:
        self._metrics, self._devices, self._provisional = metrics, devices, provisional
        self._confidence = _ByDevice(metrics.confidence)
        self._stage_energy_j = energy.stage_energy_j(manifest.layers).edge
        self._twin_energy_j = energy.twin_energy_j(manifest.layers)
        exits = len(manifest.exits)
        names = [str(stage) if stage < exits else "cut" for stage in range(len(self._stage_energy_j))]
        self._stages = [metrics.energy_j.labels(stage=name) for name in names]
        self._latency_s = {path: metrics.label_latency_s.labels(path=path) for path in ("edge", "provisional")}
        self._step_s = {step: metrics.batch_s.labels(step=step) for step in ("decode", "infer", "commit")}

    def decided(
        self,
        samples: Sequence[Candidate],
        result: EdgeResult,
        latencies_s: Sequence[float],
        *,
        shed: Collection[Key] = (),
        trace_id: Callable[[Key], str | None] = lambda key: None,
    ) -> None:
        """New samples were decided and committed, each so many seconds after it came; `shed` are final already."""
        self._metrics.batch_size.observe(len(samples))
        names = [self._devices(sample.key[0]) for sample in samples]
        outside = Counter(device for device, inside in zip(names, result.in_domain.tolist(), strict=True) if not inside)
        for device, count in Counter(names).items():
            self._metrics.samples_received.labels(device=device).inc(count)
            # at 0 too, so that its first rise is seen
            self._metrics.samples_out_of_domain.labels(device=device).inc(outside[device])
        for device, confidence in zip(names, result.confidence.tolist(), strict=True):
            self._confidence[device].observe(confidence)
        exits = result.exit_index.tolist()
        for (device, exit_index), count in Counter(zip(names, exits, strict=True)).items():
            if exit_index >= 0:
                self._metrics.exits.labels(device=device, exit=str(exit_index), reason="confident").inc(count)
        for device, sample, exit_index, latency_s in zip(names, samples, exits, latencies_s, strict=True):
            if exit_index >= 0:
                observe(self._latency_s["edge"], latency_s, trace_id(sample.key))
            elif self._provisional and sample.key not in shed:
                self._metrics.provisionals.labels(device=device).inc()
                observe(self._latency_s["provisional"], latency_s, trace_id(sample.key))
        for stage, (counter, joules) in enumerate(zip(self._stages, self._stage_energy_j, strict=True)):
            computed = int(np.count_nonzero((result.exit_index < 0) | (result.exit_index >= stage)))
            counter.inc(joules * computed)
        self._metrics.energy_baseline_j.inc(self._twin_energy_j * len(samples))

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
            self._metrics.last_seen_time.labels(device=name).set(at)


class _ByDevice(dict[str, Histogram]):
    """A histogram's series by device, each looked up once: they are observed for every sample."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def __missing__(self, device: str) -> Histogram:
        self[device] = self._histogram.labels(device=device)
        return self[device]
