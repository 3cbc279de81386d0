"""Metrics: each process has its own, and shows them over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client.metrics import MetricWrapperBase

from services.metrics import OTHER_DEVICE, CloudMetrics, DeviceNames, EdgeMetrics, MetricsFailed, MetricsServer
from services.servers import free_port
from services.settings import MetricsSettings


def get(port: int | None, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_two_workers_in_one_process_have_metrics_of_their_own() -> None:
    first, second = EdgeMetrics(), EdgeMetrics()
    first.samples_received.labels(device="a").inc()
    assert first.registry.get_sample_value("dewpoint_samples_received_total", {"device": "a"}) == 1
    assert second.registry.get_sample_value("dewpoint_samples_received_total", {"device": "a"}) is None


@pytest.mark.parametrize("metrics", [EdgeMetrics(), CloudMetrics()])
def test_every_metric_has_our_prefix_and_a_sentence(metrics: EdgeMetrics | CloudMetrics) -> None:
    ours = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    assert len(ours) > 10
    for one in ours:
        assert one._name.startswith("dewpoint_")
        assert one._documentation.endswith(".")


def test_the_server_shows_metrics_and_health() -> None:
    metrics, ready = EdgeMetrics(), [False]
    metrics.drops.labels(reason="oversized").inc()
    settings = MetricsSettings(port=free_port())
    with MetricsServer(settings, metrics.registry, ready=lambda: ready[0]) as server:
        status, text = get(server.port, "/metrics")
        assert status == 200
        assert 'dewpoint_drops_total{reason="oversized"} 1.0' in text
        assert get(server.port, "/healthz")[0] == 200
        assert get(server.port, "/readyz")[0] == 503
        ready[0] = True
        assert get(server.port, "/readyz")[0] == 200
        assert get(server.port, "/")[0] == 404


def test_port_0_switches_the_server_off() -> None:
    with MetricsServer(MetricsSettings(port=0), EdgeMetrics().registry) as server:
        assert server.port is None


def test_a_taken_address_is_one_line() -> None:
    settings = MetricsSettings(port=free_port())
    registry = EdgeMetrics().registry
    with MetricsServer(settings, registry), pytest.raises(MetricsFailed, match="Address already in use"):
        MetricsServer(settings, registry).start()


def test_devices_beyond_the_bound_share_one_series() -> None:
    names = DeviceNames(2)
    assert [names(one) for one in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER_DEVICE, "a", OTHER_DEVICE]
