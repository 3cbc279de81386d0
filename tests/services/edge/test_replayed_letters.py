"""A hard sample that became a dead letter and is sent again by an operator: its edge's final label is out already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.feature_stream import Answer, CloudFeatures
from services.feature_stream.dead import DeadLetters, Replayed
from services.messages import Escalation, Reply
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_RISE, Site, sample, says


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def give_up(site: Site, wait_for: WaitFor) -> None:
    """As a cloud worker does with the one entry that waits."""
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    features = CloudFeatures(site.settings().redis, consumer="cloud-1", lease_s=30, max_deliveries=3)
    features.serve(features.registered())
    [delivery] = features.read(1)
    assert delivery.payload is not None
    one = Escalation.decode(delivery.payload)
    error = Reply(one.device, one.id, one.attempt, None, None, "poison")
    assert features.dead_letter(delivery, "poison", answer=Answer(delivery, one.site, one.worker, error)).missed is None
    features.close()
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-0"].reason == "failed"


def replay(site: Site) -> None:
    letters = DeadLetters(site.settings().redis)
    [letter_id] = letters.ids()
    assert letters.replay(letter_id) is Replayed.SENT
    letters.close()


def test_its_answer_is_counted_and_changes_no_label(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(0))
    give_up(site, wait_for)
    replay(site)
    with site.cloud() as cloud:
        [again] = cloud.answer(1, says(3))
    assert again.attempt == 2
    wait_for(lambda: site.count("replies_received_total", outcome="late") == 1, "the late answer")
    assert [one.status for one in site.heard] == ["provisional", "final"]


def test_its_answer_is_a_correction_where_configured(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, correction=True)
    site.publish("cam", sample(0))
    give_up(site, wait_for)
    replay(site)
    with site.cloud() as cloud:
        cloud.answer(1, says((site.finals()["cam", "s-0"].class_index + 1) % 10))
    wait_for(lambda: len(site.heard) == 3, "the correction")
    assert (site.heard[2].status, site.heard[2].exit) == ("correction", "cloud")


def test_its_answer_is_its_final_label_where_the_edge_never_heard_that_it_failed(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(0))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    site.stop_edge()
    features = CloudFeatures(site.settings().redis, consumer="cloud-1", lease_s=30, max_deliveries=3)
    features.serve(features.registered())
    [delivery] = features.read(1)
    assert features.dead_letter(delivery, "poison").missed is None
    features.close()
    replay(site)
    site.start_edge(thresholds=ALL_RISE)
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-0"].reason == "escalated"
