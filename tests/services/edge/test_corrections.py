"""A cloud answer that comes after the final: counted, deleted, and told as a correction only where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.messages import Reply
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_RISE, SITE, WORKER, Site, fails, sample, says
from tests.services.edge.upkeep.test_journal_limits import surest


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def test_an_answer_after_the_final_changes_nothing_unless_corrections_are_asked_for(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=0.2)
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(lambda: site.count("replies_received_total", outcome="late") == 1, "the late reply")
    wait_for(lambda: site.edge.escalations.streams.current.read_replies() == [], "it is deleted")
    assert [one.status for one in site.heard] == ["provisional", "final"]


def test_an_answer_after_the_final_is_published_as_correction_where_configured(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=0.2, correction=True)
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    edge_class = site.finals()["cam", "s-1"].class_index
    with site.cloud() as cloud:
        cloud.answer(1, says((edge_class + 1) % 10))
    wait_for(lambda: len(site.heard) == 3, "the correction")
    assert (site.heard[2].status, site.heard[2].exit, site.heard[2].corrected) == ("correction", "cloud", True)


def test_a_shed_sample_is_corrected_also_by_a_worker_started_later_and_its_final_stands(
    site: Site, wait_for: WaitFor
) -> None:
    settings = {"thresholds": ALL_RISE, "waiting_max": 1, "correction": True}
    sure, unsure = (int(one.removeprefix("s-")) for one in surest(site, 2))
    site.start_edge(**settings)
    site.publish("cam", sample(sure))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    site.publish("cam", sample(unsure))
    wait_for(site.finals, "the surer one is shed")
    assert site.finals()["cam", f"s-{sure}"].reason == "shed"
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 2, "the other escalation")
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
    site.stop_edge()
    with site.cloud() as cloud:
        cloud.answer(2, says((site.finals()["cam", f"s-{sure}"].class_index + 1) % 10))
    site.start_edge(**settings)
    wait_for(lambda: len(site.finals()) == 2, "the other's final")
    wait_for(lambda: any(one.status == "correction" for one in site.heard), "the correction")
    [correction] = [one for one in site.heard if one.status == "correction"]
    assert (correction.id, correction.exit, correction.corrected) == (f"s-{sure}", "cloud", True)
    assert site.count("replies_received_total", outcome="late") == 1
    final = next(raw for label, raw in zip(site.heard, site.raw, strict=True) if label.reason == "shed")
    site.publish("cam", sample(sure))
    wait_for(lambda: site.raw.count(final) == 2, "the final again, byte for byte")


def test_a_cloud_that_gave_up_corrects_nothing(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=0.2, correction=True)
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    with site.cloud() as cloud:
        cloud.answer(1, fails("poison"))
    wait_for(lambda: site.count("replies_received_total", outcome="late") == 1, "the late reply")
    assert [one.status for one in site.heard] == ["provisional", "final"]


def test_a_reply_that_comes_twice_in_one_read_is_counted_twice(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    [stream] = site.edge.escalations.streams.current.streams
    with redis.Redis(port=redis_server.port) as client, client.pipeline(transaction=True) as both:
        reply = Reply("cam", "s-1", 1, 3, 0.99, None).encode()
        for _ in range(2):
            both.xadd(stream.replies(SITE, WORKER), {"m": reply})
        both.execute()
    wait_for(lambda: site.finals(), "the final label")
    wait_for(lambda: site.count("replies_received_total", outcome="late") == 1, "the second reply is counted")
    wait_for(lambda: site.count("replies_received_total", outcome="finalised") == 1, "the first as well")
