"""What the metrics of every process have: a registry, the process's own figures, who it is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from services.common.version import own_version

__all__ = ["BATCH", "LATENCY_S", "WORK_S", "ProcessMetrics"]

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
WORK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ProcessMetrics:
    """A registry with the process's own metrics, and makers for ours."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # When each series began: nobody reads it, and it would be many more series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._info = Info(
            "dewpoint_worker",
            "What this worker is, always 1: its role (edge, cloud), site, name, bundle, network id, kernel (of the edge"
            ' engine, or the device on which torch computes) and version; "" where it has none.',
            ("role", "site", "worker", "bundle", "network", "kernel", "version"),
            registry=self.registry,
        )

    def identify(
        self, role: str, worker: str, *, kernel: str, site: str = "", bundle: str = "", network: str = ""
    ) -> None:
        """Say what this process is. A cloud worker belongs to no site and serves any number of networks."""
        names = {"role": role, "worker": worker, "kernel": kernel, "site": site, "bundle": bundle, "network": network}
        self._info.labels(**names, version=own_version()).info({})

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"dewpoint_{name}", sentence, labels, registry=self.registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"dewpoint_{name}", sentence, labels, registry=self.registry)

    def _histogram(self, name: str, sentence: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"dewpoint_{name}", sentence, labels, buckets=buckets, registry=self.registry)
