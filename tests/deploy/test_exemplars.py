"""A trace's id travels as an exemplar: shown in OpenMetrics, kept by a real Prometheus."""

from __future__ import annotations

from services.metrics import EdgeMetrics, MetricsServer, observe
from services.servers import free_port
from services.settings import MetricsSettings
from tests.conftest import require_server
from tests.deploy.prometheus import Prometheus

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_prometheus_keeps_the_trace_of_an_observation(tmp_path, wait_for, compose):
    assert "--enable-feature=exemplar-storage" in compose["services"]["prometheus"]["command"]
    metrics, settings = EdgeMetrics(), MetricsSettings(port=free_port())
    metrics.identify("edge", "edge-1", kernel="portable")
    latency = metrics.label_latency_s.labels(path="cloud")
    prometheus = require_server(lambda: Prometheus(tmp_path, {"edge": [settings.port], "cloud": []}))
    with MetricsServer(settings, metrics.registry), prometheus:
        observe(latency, 0.3, TRACE)
        observe(latency, 0.4)

        def kept() -> list[dict[str, str]]:
            return prometheus.exemplars('dewpoint_label_latency_seconds_bucket{path="cloud"}')

        wait_for(kept, "an exemplar in Prometheus", 30.0)
        assert kept() == [{"trace_id": TRACE}]
        assert prometheus.values('dewpoint_label_latency_seconds_count{path="cloud"}') == [2.0]
        assert prometheus.values('dewpoint_worker_info{role="edge",worker="edge-1",site=""}') == [1.0]
        assert prometheus.values("process_resident_memory_bytes > 0"), "the process's own metrics"
