"""Latencies of final labels: from receipt to commit, by monotonic time, whatever the clock does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.edge.journal.records import Batch
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, sample, says
from tests.services.edge.upkeep.test_housekeeping import hard

DAY_S = 86_400.0


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as opened:
        yield opened


def latency_sum_s(site: Site, path: str) -> float:
    return site.count("label_latency_seconds_sum", path=path)


def test_a_clock_that_jumped_while_a_sample_waited_changes_no_latency(site: Site, wait_for: WaitFor) -> None:
    """Received a day ago by the clock, a second ago in truth."""
    edge = site.compose_edge(control={"mode": "budget", "budget": "latency_p99_ms", "value": 500})
    row, _ = hard(site, 1)
    edge.journal.commit(Batch(rows=[replace(row, received_at=time.time() - DAY_S, arrived_s=time.monotonic() - 1.0)]))
    edge.worker.start()
    with site.cloud() as cloud:
        cloud.answer(1, says(3), timeout_s=30)
    wait_for(lambda: site.count("label_latency_seconds_count", path="cloud") == 1, "the latency")
    assert 1.0 <= latency_sum_s(site, "cloud") < 60
    wait_for(lambda: site.count("control_measured", budget="latency_p99_ms") > 0, "the controller has heard of it")
    assert site.count("control_measured", budget="latency_p99_ms") < 60_000


def test_a_sample_of_an_earlier_process_moves_no_exits(site: Site, wait_for: WaitFor) -> None:
    """Nobody knows how long it really waited: its latency is told by the clock, and no controller hears of it."""
    edge = site.compose_edge(control={"mode": "budget", "budget": "latency_p99_ms", "value": 500})
    row, _ = hard(site, 1)
    edge.journal.commit(Batch(rows=[replace(row, received_at=time.time() - 100.0, arrived_s=None)]))
    edge.worker.start()
    with site.cloud() as cloud:
        cloud.answer(1, says(3), timeout_s=30)
    wait_for(lambda: site.count("label_latency_seconds_count", path="cloud") == 1, "the latency")
    assert 100.0 <= latency_sum_s(site, "cloud") < 160


@pytest.mark.parametrize(("thresholds", "path"), [(ALL_LEAVE, "edge"), (ALL_RISE, "provisional")])
def test_a_slow_disk_shows_in_the_latency_of_the_edges_labels(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch, thresholds: list[float], path: str
) -> None:
    edge = site.compose_edge(thresholds=thresholds)
    commit = edge.journal.commit

    def commit_slowly(batch: Any) -> None:
        time.sleep(0.3)
        commit(batch)

    monkeypatch.setattr(edge.journal, "commit", commit_slowly)
    edge.worker.start()
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("label_latency_seconds_count", path=path) == 1, "the latency")
    assert latency_sum_s(site, path) >= 0.3
    assert site.count("edge_batch_seconds_sum", step="commit") >= 0.3
