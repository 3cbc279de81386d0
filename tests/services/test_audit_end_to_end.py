"""An edge worker, a real Redis and a real cloud half: what is counted live is what both halves say offline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hybrid_model import bundle, data
from hybrid_model.evaluation import answers
from hybrid_model.monitoring import what_if_curve
from services.cloud import Networks, make_worker
from services.cloud.networks import load_cloud_half
from services.cloud.worker import CloudWorker
from services.feature_stream import CloudFeatures
from services.messages import Sample
from services.metrics import CloudMetrics
from services.servers import Broker, RedisServer
from services.settings import CloudSettings
from tests.conftest import WaitFor
from tests.services.edge.site import SITE, Site

COUNT = 359  # the test split


@contextmanager
def cloud_worker(site: Site, metrics: CloudMetrics) -> Iterator[CloudWorker]:
    features = CloudFeatures(site.settings().redis, consumer="cloud-1", lease_s=30, max_deliveries=3)
    networks = Networks(["digits"], lambda path: load_cloud_half(path, threads=1))
    worker = make_worker(
        CloudSettings(linger_ms=1.0), features=features, networks=networks, metrics=metrics, on_hang=lambda: None
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(90)


def test_the_live_disagreement_is_the_networks_own(
    mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, wait_for: WaitFor
) -> None:
    loaded, x, metrics = bundle.load(bundle.resolve("digits"), cloud=True), data.load("digits").test.x, CloudMetrics()
    said, told = answers(loaded, x, with_scores=True), loaded.manifest.calibration
    assert told is not None
    assert said.exit_score is not None
    score, disagrees = said.exit_score[:, 0], said.exit_class[:, 0] != said.cloud_class
    threshold = float(score[disagrees].min()) + 1e-3  # so loose that one leaves of which the cloud says another class
    left = score < threshold
    disagreed = int(disagrees[left].sum())
    assert disagreed > 0
    assert 0 < left.sum() < COUNT

    def cloud(name: str, **labels: str) -> float:
        return metrics.registry.get_sample_value(f"dewpoint_cloud_{name}", labels) or 0.0

    with Site(mqtt_broker, redis_server, tmp_path) as site, cloud_worker(site, metrics):
        network = site.bundle.manifest.network_id
        of = {"network": network, "site": SITE, "device": "cam", "exit": "0"}
        site.start_edge(audit={"share": 1.0}, thresholds=[threshold])
        samples = (Sample(f"s-{n}", 1e9, "array", x.shape[1:], "uint8", x[n].tobytes()) for n in range(COUNT))
        site.publish("cam", *(one.encode() for one in samples))
        wait_for(lambda: len(site.finals()) == COUNT, "all finals", 60)
        wait_for(lambda: cloud("audited_total", **of) == left.sum(), "every confident sample is audited", 60)
        assert site.count("audits_selected_total", device="cam", exit="0") == left.sum()
    assert cloud("disagreed_total", **of) == disagreed
    assert cloud("answered_total", network=network, outcome="label") == COUNT - left.sum()
    hard = {key for key, label in site.finals().items() if label.exit == "cloud"}
    assert hard == {("cam", f"s-{n}") for n in np.flatnonzero(~left)}, "audits changed no label"

    points = range(len(told.path))
    curve = what_if_curve(
        cloud("what_if_weight_total", network=network),
        {point: cloud("what_if_left_weight_total", network=network, point=str(point)) for point in points},
        {point: cloud("what_if_agreed_weight_total", network=network, point=str(point)) for point in points},
    )
    for one in curve:  # each sample was audited or answered, so that nothing is estimated
        would_leave = score < told.path[one.point].thresholds[0]
        assert one.edge_share == pytest.approx(would_leave.mean())
        assert one.agreement == pytest.approx(1 - (would_leave & disagrees).mean())
