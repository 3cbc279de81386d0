"""What a network's answers add to the metrics: samples, exits and latencies by device, joules by stage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from prometheus_client import Histogram

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.ingest.samples import Candidate
from services.edge.journal.records import Key
from services.messages import Label
from services.metrics import DeviceNames, EdgeMetrics, observe, observe_all

__all__ = ["NetworkMetrics"]


class NetworkMetrics:
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

    def decided(
        self,
        samples: Sequence[Candidate],
        result: EdgeResult,
        latencies_s: Sequence[float],
        *,
        shed: Collection[Key] = (),
        spared: Mapping[int, Label] = MappingProxyType({}),
        trace_id: Callable[[Key], str | None] = lambda key: None,
    ) -> None:
        """New samples were decided and committed, each so many seconds after it came.

        `shed`: hard samples that are final already; `spared`: by row, labels of hard samples that ended at the edge.
        """
        self._metrics.batch_size.observe(len(samples))
        names = [self._devices(sample.key[0]) for sample in samples]
        outside = Counter(device for device, inside in zip(names, result.in_domain.tolist(), strict=True) if not inside)
        for device, count in Counter(names).items():
            self._metrics.samples_received.labels(device=device).inc(count)
            # at 0 too, so that its first rise is seen
            self._metrics.samples_out_of_domain.labels(device=device).inc(outside[device])
        confidences: dict[str, list[float]] = defaultdict(list)
        for device, confidence in zip(names, result.confidence.tolist(), strict=True):
            confidences[device].append(confidence)
        for device, values in confidences.items():
            observe_all(self._confidence[device], values)
        exits = result.exit_index.tolist()
        for (device, exit_index), count in Counter(zip(names, exits, strict=True)).items():
            if exit_index >= 0:
                self._metrics.exits.labels(device=device, exit=str(exit_index), reason="confident").inc(count)
        for row, label in spared.items():
            self._metrics.exits.labels(device=names[row], exit=str(label.exit), reason=label.reason).inc()
            if label.corrected:
                self._metrics.corrections.labels(device=names[row]).inc()
        untraced: dict[str, list[float]] = {"edge": [], "provisional": []}
        for row, (device, sample, exit_index, latency_s) in enumerate(
            zip(names, samples, exits, latencies_s, strict=True)
        ):
            if exit_index >= 0 or row in spared:
                path = "edge"
            elif self._provisional and sample.key not in shed:
                path = "provisional"
                self._metrics.provisionals.labels(device=device).inc()
            else:
                continue
            trace = trace_id(sample.key)
            if trace:
                observe(self._latency_s[path], latency_s, trace)
            else:
                untraced[path].append(latency_s)
        for path, seconds in untraced.items():
            observe_all(self._latency_s[path], seconds)
        for stage, (counter, joules) in enumerate(zip(self._stages, self._stage_energy_j, strict=True)):
            computed = int(np.count_nonzero((result.exit_index < 0) | (result.exit_index >= stage)))
            counter.inc(joules * computed)
        self._metrics.energy_baseline_j.inc(self._twin_energy_j * len(samples))


class _ByDevice(dict[str, Histogram]):
    """A histogram's series by device, each looked up once: they are observed for every sample."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def __missing__(self, device: str) -> Histogram:
        self[device] = self._histogram.labels(device=device)
        return self[device]
