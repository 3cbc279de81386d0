"""Metrics: each process has its own, and shows them over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from importlib.metadata import version

import pytest
from prometheus_client.metrics import MetricWrapperBase

from services.metrics import (
    OTHER_DEVICE,
    CloudMetrics,
    DeviceNames,
    EdgeMetrics,
    MetricsError,
    MetricsServer,
    observe,
    observe_all,
)
from services.servers import free_port
from services.settings import MetricsSettings


def get(port: int | None, path: str, accept: str = "*/*") -> tuple[int, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
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


def test_an_exemplar_is_shown_to_those_who_ask_for_openmetrics() -> None:
    metrics, settings = EdgeMetrics(), MetricsSettings(port=free_port())
    observe(metrics.label_latency_s.labels(path="edge"), 0.003, "0af7651916cd43dd8448eb211c80319c")
    bucket = 'dewpoint_label_latency_seconds_bucket{le="0.005",path="edge"} 1.0'
    with MetricsServer(settings, metrics.registry) as server:
        _, plain = get(server.port, "/metrics")
        _, openmetrics = get(server.port, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert f"{bucket}\n" in plain
    assert f'{bucket} # {{trace_id="0af7651916cd43dd8448eb211c80319c"}} 0.003' in openmetrics
    assert openmetrics.endswith("# EOF\n")


def test_no_series_tells_when_another_began() -> None:
    metrics = EdgeMetrics()
    metrics.drops.labels(reason="oversized").inc()
    names = [sample.name for family in metrics.registry.collect() for sample in family.samples]
    assert not [name for name in names if name.endswith("_created")]


def test_a_sample_without_a_trace_has_no_exemplar() -> None:
    metrics = EdgeMetrics()
    observe(metrics.feature_bytes_size, 24, None)
    observe(metrics.feature_bytes_size, 24, "")
    [family] = (one for one in metrics.registry.collect() if one.name == "dewpoint_feature_size_bytes")
    assert not any(sample.exemplar for sample in family.samples)
    assert metrics.registry.get_sample_value("dewpoint_feature_size_bytes_count") == 2


def test_a_worker_tells_what_it_is() -> None:
    edge, cloud = EdgeMetrics(), CloudMetrics()
    edge.identify("edge", "edge-1", kernel="avx2", site="home", bundle="digits", network="0123456789ab")
    cloud.identify("cloud", "cloud-1", kernel="cpu")
    nothing = {"site": "", "bundle": "", "network": ""}
    for metrics, names in (
        (edge, {"role": "edge", "worker": "edge-1", "kernel": "avx2", "site": "home", "bundle": "digits"}),
        (cloud, {"role": "cloud", "worker": "cloud-1", "kernel": "cpu"}),
    ):
        network = {"network": "0123456789ab"} if metrics is edge else {}
        labels = nothing | names | network | {"version": version("dewpoint")}
        assert metrics.registry.get_sample_value("dewpoint_worker_info", labels) == 1


def test_port_0_switches_the_server_off() -> None:
    with MetricsServer(MetricsSettings(port=0), EdgeMetrics().registry) as server:
        assert server.port is None


def test_a_taken_address_is_one_line() -> None:
    settings = MetricsSettings(port=free_port())
    registry = EdgeMetrics().registry
    with MetricsServer(settings, registry), pytest.raises(MetricsError, match="Address already in use"):
        MetricsServer(settings, registry).start()


def test_devices_beyond_the_bound_share_one_series() -> None:
    names = DeviceNames(2)
    assert [names(one) for one in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER_DEVICE, "a", OTHER_DEVICE]


def test_many_observations_at_once_are_as_one_after_the_other() -> None:
    one, all_at_once = EdgeMetrics(), EdgeMetrics()
    values = [0.0, 0.3, 0.31, 0.95, 0.999, 1.0, 1.0, 7.0]
    for value in values:
        one.confidence.labels(device="cam").observe(value)
    observe_all(all_at_once.confidence.labels(device="cam"), values)
    observe_all(all_at_once.confidence.labels(device="cam"), [])
    name = "dewpoint_confidence"
    assert [metric.samples for metric in all_at_once.registry.collect() if metric.name == name] == [
        metric.samples for metric in one.registry.collect() if metric.name == name
    ]
