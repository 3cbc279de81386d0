"""What an edge worker counts on the way of a sample, each counter against what really happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_model import energy
from services.edge.ingest import Quarantine
from services.edge.ingest.inbox import Arrival
from services.edge.journal.in_hand import InHand
from services.edge.journal.samples import Journal
from services.messages import input_topic
from services.metrics import OTHER_DEVICE, EdgeMetrics
from services.mqtt import Delivery
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, Site, sample, says

INPUT = "dewpoint/{site}/in/{device}"


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def test_a_hard_sample_is_counted_at_every_step(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    payloads = [sample(number) for number in range(5)]
    site.publish("cam", *payloads)
    with site.cloud() as cloud:
        cloud.answer(5, says(3))
    wait_for(lambda: len(site.finals()) == 5, "the finals")
    wait_for(lambda: site.count("labels_published_total", status="final") == 5, "their acknowledgement")
    manifest = site.bundle.manifest
    stages_j = energy.stage_energy_j(manifest.layers).edge
    assert site.count("messages_received_total", input=INPUT) == 5
    assert site.count("payload_bytes_total", input=INPUT) == sum(len(one) for one in payloads)
    assert site.count("provisionals_total", device="cam") == 5
    assert site.count("labels_published_total", status="provisional") == 5
    assert site.count("escalations_total", device="cam", again="no") == 5
    assert site.count("feature_bytes_total", device="cam") == 5 * manifest.cut.bytes
    assert site.count("feature_size_bytes_sum") == 5 * manifest.cut.bytes
    assert site.count("energy_joules_total", stage="cut") == pytest.approx(5 * stages_j[-1])
    assert site.count("energy_baseline_joules_total") == pytest.approx(5 * energy.twin_energy_j(manifest.layers))
    assert site.count("replies_received_total", outcome="finalised") == 5
    assert site.count("confidence_count", device="cam") == 5
    assert 0 < site.count("confidence_sum", device="cam") <= 5
    wait_for(lambda: site.count("mqtt_connections_total") == 1, "the gauges' turn")


def test_an_acknowledgement_for_a_connection_that_is_gone_is_counted(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    wait_for(lambda: site.count("mqtt_connected") == 1, "the connection")
    earlier = Delivery(input_topic(SITE, "cam"), sample(1), 1, False, False, 1, 1e9)
    site.edge.connection.link.acknowledge([replace(earlier, generation=0)])
    wait_for(lambda: site.count("acknowledgements_discarded_total") == 1, "it is counted")


def test_a_message_that_is_run_alone_is_counted(tmp_path: Path) -> None:
    metrics = EdgeMetrics()
    arrivals = [Arrival.of(Delivery("in/cam", one, 1, False, False, 1, 1e9), 0, "cam") for one in (b"a", b"b", b"c")]
    with Journal(tmp_path / "journal.sqlite") as journal:

        def quarantine() -> Quarantine:
            in_hand = InHand(tmp_path / "in-hand", 8)
            return Quarantine(attempts=journal.attempts, in_hand=in_hand, metrics=metrics, max_deliveries=2)

        [run] = quarantine().runs(arrivals)
        quarantine().begin(run)
        after = quarantine()
        for alone in after.runs(arrivals):
            after.begin(alone)
            after.end(alone)
    assert metrics.registry.get_sample_value("dewpoint_lone_runs_total") == 3


def test_how_full_the_spool_is_and_what_it_may_hold_are_shown(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, waiting_max=20, deadline_s=45.0)
    site.publish("cam", *(sample(number) for number in range(5)))
    wait_for(lambda: site.count("journal_waiting_ratio") == 5 / 20, "five of twenty")
    assert site.count("journal_bytes_max") == site.settings().edge.journal_bytes_max
    assert site.count("deadline_seconds", input=INPUT) == 45.0


def test_devices_beyond_the_bound_are_other_in_every_metric(site: Site, wait_for: WaitFor) -> None:
    site.metric_settings = {"devices_max": 2}
    site.start_edge(thresholds=ALL_RISE, audit={"share": 1.0})
    for device in ("first", "second", "third", "fourth"):
        site.publish(device, sample(1), sample(2))
        wait_for(lambda device=device: sum(one.device == device for one in site.heard) == 2, f"labels of {device}")
    with site.cloud() as cloud:
        cloud.answer(8, says(3))
    wait_for(lambda: len(site.finals()) == 8, "the finals")
    wait_for(lambda: site.count("exits_total", device=OTHER_DEVICE, exit="cloud", reason="escalated") == 4, "counts")
    families = [one for one in site.metrics.registry.collect() if one.name.startswith("dewpoint_")]
    samples = [one for family in families for one in family.samples if "device" in one.labels]
    assert {one.labels["device"] for one in samples} == {"first", "second", OTHER_DEVICE}
    assert site.count("samples_received_total", device=OTHER_DEVICE) == 4
    latest = [site.count("last_seen_timestamp_seconds", device=one) for one in ("first", "second", OTHER_DEVICE)]
    assert latest == sorted(latest)
    assert all(math.isfinite(one) and one > 1e9 for one in latest)


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_labels_that_the_broker_gives_to_nobody_are_counted_apart_and_done(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("labels_published_total", status="final") == 1, "a label that somebody gets")
    site.stop_listening()
    site.publish("cam", sample(2), sample(3))
    wait_for(lambda: site.count("labels_without_subscriber_total", status="final") == 2, "two that nobody gets")
    wait_for(lambda: site.count("journal_rows", state="done") == 3, "all three are done")
    assert site.count("labels_published_total", status="final") == 1
    wait_for(lambda: site.count("publishes_in_flight") == 0, "none is on its way")
