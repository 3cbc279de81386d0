"""What a batch adds to the metrics: samples and exits by device, joules by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from prometheus_client import Histogram

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.ingest.inbox import Arrival
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["Tally"]


class Tally:
    """Counts what one bundle's edge half computes."""

    def __init__(self, manifest: Manifest, metrics: EdgeMetrics, devices: DeviceNames) -> None:
        self._metrics, self._devices = metrics, devices
        self._confidence = _ByDevice(metrics.confidence)
        self._stage_energy_j = energy.stage_energy_j(manifest.layers).edge
        self._twin_energy_j = energy.twin_energy_j(manifest.layers)
        exits = len(manifest.exits)
        names = [str(stage) if stage < exits else "cut" for stage in range(len(self._stage_energy_j))]
        self._stages = [metrics.energy_j.labels(stage=name) for name in names]

    def batch(self, devices: Sequence[str], result: EdgeResult) -> None:
        """New samples were computed; `devices`: of each sample."""
        self._metrics.batch_size.observe(len(devices))
        names = [self._devices(device) for device in devices]
        for device, count in Counter(names).items():
            self._metrics.samples_received.labels(device=device).inc(count)
        for device, confidence in zip(names, result.confidence.tolist(), strict=True):
            self._confidence[device].observe(confidence)
        exits = zip(names, map(int, result.exit_index), strict=True)
        for (device, exit_index), count in Counter(exits).items():
            if exit_index >= 0:
                self._metrics.exits.labels(device=device, exit=str(exit_index), reason="confident").inc(count)
        for stage, (counter, joules) in enumerate(zip(self._stages, self._stage_energy_j, strict=True)):
            computed = int(np.count_nonzero((result.exit_index < 0) | (result.exit_index >= stage)))
            counter.inc(joules * computed)
        self._metrics.energy_baseline_j.inc(self._twin_energy_j * len(devices))

    def seen(self, arrivals: Sequence[Arrival]) -> None:
        """These devices were heard of."""
        latest: dict[str, float] = {}
        for one in arrivals:
            if one.device:
                name = self._devices(one.device)
                latest[name] = max(one.delivery.received_at, latest.get(name, 0.0))
        for name, at in latest.items():
            self._metrics.last_seen_time.labels(device=name).set(at)


class _ByDevice(dict[str, Histogram]):
    """A histogram's series by device, each looked up once: they are observed for every sample."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def __missing__(self, device: str) -> Histogram:
        self[device] = self._histogram.labels(device=device)
        return self[device]
