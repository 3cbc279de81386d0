"""Figures, history and workers from the workers' own metrics."""

from __future__ import annotations

import math
import time

import pytest
from prometheus_client import generate_latest

from services.console.collect.increments import Meter
from services.console.collect.metrics_page import MetricsPage, histogram_quantile
from services.console.collect.scraping import Scrape, Scraper
from services.console.state.history import LATENCY_WINDOW_S, History
from services.console.state.site_figures import device_figures, site_figures
from services.console.state.state import State
from services.metrics import CloudMetrics, EdgeMetrics, MetricsServer
from services.servers import free_port
from services.settings import MetricsSettings


def _page(metrics: EdgeMetrics | CloudMetrics) -> MetricsPage:
    return MetricsPage(generate_latest(metrics.registry).decode())


@pytest.fixture
def edge():
    metrics = EdgeMetrics()
    metrics.exits.labels(device="camera-1", exit="0", reason="confident").inc(30)
    metrics.exits.labels(device="camera-1", exit="cloud", reason="escalated").inc(10)
    metrics.exits.labels(device="camera-2", exit="0", reason="shed").inc(5)
    metrics.corrections.labels(device="camera-1").inc(4)
    metrics.last_seen_time.labels(device="camera-1").set(1000.0)
    metrics.samples_received.labels(device="camera-1").inc(45)
    metrics.energy_j.labels(stage="0").inc(2.0)
    metrics.energy_baseline_j.inc(12.0)
    metrics.queue_depth.labels(network="b").set(7)
    metrics.drops.labels(reason="not_json").inc(3)
    return metrics


@pytest.fixture
def cloud():
    metrics = CloudMetrics()
    metrics.energy_j.inc(1.0)
    metrics.queue_depth.labels(network="b").set(9)
    metrics.dead_letters.labels(network="b").set(2)
    return metrics


def test_figures_are_the_sums_of_the_counters(edge, cloud):
    found = site_figures([_page(edge), _page(edge), _page(cloud)])
    assert (found.finals, found.confident, found.cloud, found.corrected) == (90, 60, 20, 8)
    assert (found.samples, found.dropped) == (90, 6)
    assert found.edge_share == pytest.approx(60 / 90)
    assert found.corrected_share == pytest.approx(8 / 20)
    assert (found.energy_j, found.baseline_j, found.reduction) == (5.0, 24.0, pytest.approx(4.8))


def test_a_reused_answer_is_not_one_that_the_cloud_gave_and_is_not_lost(edge, cloud):
    edge.exits.labels(device="camera-1", exit="cloud", reason="reused").inc(6)
    edge.exits.labels(device="camera-2", exit="0", reason="rate_limited").inc(9)
    found = site_figures([_page(edge), _page(cloud)])
    assert (found.finals, found.confident, found.cloud) == (60, 30, 10)
    assert (found.reused, found.rate_limited) == (6, 9)
    assert found.corrected_share == pytest.approx(4 / 16), "a reused answer may differ from the edge's as well"


def test_audits_cost_energy_too(edge, cloud):
    edge.audit_energy_j.inc(0.5)
    cloud.audit_energy_j.inc(0.25)
    assert site_figures([_page(edge), _page(cloud)]).energy_j == 3.75


def test_what_every_worker_tells_of_the_same_queue_is_not_added_up(edge, cloud):
    found = site_figures([_page(edge), _page(cloud), _page(cloud)])
    assert (found.queue, found.dead_letters) == (9, 2)


def test_no_workers_make_no_figures():
    found = site_figures([])
    assert (found.finals, found.edge_share, found.reduction) == (0, None, None)


def test_devices_are_told_apart_and_in_natural_order(edge):
    edge.exits.labels(device="camera-10", exit="0", reason="confident").inc()
    first, second, tenth = device_figures([_page(edge)])
    assert [first.name, second.name, tenth.name] == ["camera-1", "camera-2", "camera-10"]
    assert (first.finals, first.edge_share, first.corrected, first.last_seen) == (40, 0.75, 4, 1000.0)
    assert second.edge_share == 0.0


def test_a_device_above_the_threshold_of_its_drift_has_drifted(edge):
    edge.drift_psi.labels(device="camera-1").set(0.5)
    edge.drift_psi_threshold.labels(device="camera-1").set(0.1)
    first, second = device_figures([_page(edge)])
    assert first.drifted
    assert (second.drift, second.drifted) == (None, False)


def test_a_thousand_devices_are_shown_at_most():
    lines = "".join(f'dewpoint_exits_total{{device="d{i}",exit="0",reason="confident"}} 1\n' for i in range(1500))
    assert len(device_figures([MetricsPage(lines)])) == 1000


def _scrapes(metrics):
    return {"http://a": Scrape("http://a", _page(metrics), at=1.0)}


def test_rises_are_counted_from_the_second_round_on(edge):
    meter = Meter()
    assert meter.rises(_scrapes(edge)).finals == 0
    edge.exits.labels(device="camera-1", exit="0", reason="confident").inc(6)
    found = meter.rises(_scrapes(edge))
    assert (found.finals, found.confident) == (6, 6)


def test_a_worker_that_began_again_raises_what_it_has_counted_since(edge):
    meter = Meter()
    meter.rises(_scrapes(edge))
    again = EdgeMetrics()
    again.exits.labels(device="camera-1", exit="0", reason="confident").inc(2)
    assert meter.rises(_scrapes(again)).finals == 2


def test_a_worker_that_does_not_answer_raises_nothing_and_is_caught_up_with(edge):
    meter = Meter()
    meter.rises(_scrapes(edge))
    edge.energy_baseline_j.inc(3.0)
    assert meter.rises({"http://a": Scrape("http://a", _page(edge), at=1.0, error="refused")}).baseline_j == 0
    assert meter.rises(_scrapes(edge)).baseline_j == 3.0


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.2), (0.25, 0.1), (0.75, 0.6), (1.0, 1.0)],
)
def test_a_quantile_lies_within_its_bucket_as_prometheus_has_it(share, expected):
    assert histogram_quantile(share, {0.2: 50, 1.0: 100, math.inf: 100}) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_bound_is_that_bound():
    assert histogram_quantile(0.99, {0.1: 1, 1.0: 2, math.inf: 100}) == 1.0


def test_of_nothing_there_is_no_quantile():
    assert histogram_quantile(0.5, {}) is None
    assert histogram_quantile(0.5, {1.0: 0, math.inf: 0}) is None


def test_a_point_of_the_history_is_of_its_last_seconds_alone(edge):
    history, meter = History(), Meter()
    history.add(0.0, meter.rises(_scrapes(edge)), queue=3)
    edge.exits.labels(device="camera-1", exit="0", reason="confident").inc(9)
    edge.exits.labels(device="camera-1", exit="cloud", reason="escalated").inc(1)
    edge.label_latency_s.labels(path="edge").observe(0.004)
    history.add(2.0, meter.rises(_scrapes(edge)), queue=5)
    point = history.points[-1]
    assert (point.edge_share, point.queue, point.labels_per_s) == (0.9, 5, 1.0)
    assert 2.5 <= point.latency_ms["edge", 0.5] <= 5.0
    assert point.latency_ms["cloud", 0.5] is None
    history.add(2.0 + LATENCY_WINDOW_S, meter.rises(_scrapes(edge)), queue=0)
    assert (history.points[-1].edge_share, history.points[-1].latency_ms["edge", 0.5]) == (None, None)


def test_the_history_is_bounded(edge):
    history, meter = History(), Meter()
    for second in range(2000):
        history.add(float(second), meter.rises({}), queue=0)
    assert len(history.points) == 300
    assert history.points[-1].at - history.points[0].at == pytest.approx(600, abs=5)


def test_a_worker_is_scraped_and_what_it_last_showed_outlives_it(edge, wait_for):
    state, port = State(pictures_kept=10), free_port()
    scraper = Scraper([f"http://127.0.0.1:{port}"], state.take_scrapes)
    edge.identify("edge", "edge-1", kernel="numpy", site="hall", bundle="digits", network="b")
    with MetricsServer(MetricsSettings(port=port), edge.registry):
        scraper.start()
        try:
            wait_for(lambda: state.snapshot.figures.finals == 45, "a scrape")
            [worker] = state.workers
            assert (worker.name, worker.role, worker.kernel, worker.working) == ("edge-1", "edge", "numpy", True)
        except BaseException:
            scraper.stop()
            raise
    try:
        wait_for(lambda: state.workers[0].error is not None, "a scrape that fails")
        assert state.snapshot.figures.finals == 45
        assert state.workers[0].state == "silent"
    finally:
        scraper.stop()


def test_what_is_no_page_of_metrics_is_an_error_of_its_worker(wait_for):
    found = {}

    def show(parameters):
        return 200, "text/plain", b"<html>" + b"x" * 100

    port = free_port()
    with MetricsServer(MetricsSettings(port=port), EdgeMetrics().registry, routes={"/other": show}):
        scraper = Scraper([f"http://127.0.0.1:{port}/other?"], found.update)
        scraper.start()
        try:
            wait_for(lambda: any(one.error for one in found.values()), "a scrape that fails")
        finally:
            scraper.stop()


def test_a_snapshot_is_of_now(edge):
    state = State(pictures_kept=10)
    assert state.snapshot.at is None
    state.take_scrapes(_scrapes(edge))
    assert state.snapshot.at == pytest.approx(time.time(), abs=5)
    assert [device.name for device in state.snapshot.devices] == ["camera-1", "camera-2"]
