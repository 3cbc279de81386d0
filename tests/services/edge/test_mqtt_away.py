"""While the MQTT broker is away, labels lie in the journal; afterwards they go out in order, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.messages import Escalation, Label, Reply
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import edge_process
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, sample

pytestmark = pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def classify(one: Escalation) -> Reply:
    return Reply(one.device, one.id, one.attempt, int(one.id.removeprefix("s-")) % 10, 0.99, None)


def final_payloads(site: Site) -> list[bytes]:
    """Final labels as they came, each once."""
    return list(dict.fromkeys(raw for raw in site.raw if Label.decode(raw).status == "final"))


@pytest.mark.parametrize("room", [4096, 4])
def test_answers_that_come_while_the_broker_is_away_are_published_when_it_is_back_in_order(
    site: Site, mqtt_broker: Broker, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._PENDING_MAX", room)
    monkeypatch.setattr("services.edge.publish.outbox._REFILL_ROWS", 7)
    site.start_edge(mqtt={"inflight_max": 2}, thresholds=ALL_RISE, provisional=False)
    site.publish("cam", *map(sample, range(50)))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 50, "the escalations")
    mqtt_broker.stop()
    wait_for(lambda: "not connected" in "".join(site.worker.impediments), "the worker is not ready")
    with site.cloud() as cloud:
        cloud.answer(50, classify)
    wait_for(lambda: site.edge.journal.counts["final"] == 50, "all labels are in the journal")
    stored = [row.label for row in site.edge.journal.unpublished(limit=100)]
    assert site.worker.healthy
    assert final_payloads(site) == []
    mqtt_broker.start()
    wait_for(lambda: len(site.finals()) == 50, "every label", 30)
    assert final_payloads(site) == stored
    assert [Label.decode(one).id for one in stored] == [f"s-{number}" for number in range(50)]
    wait_for(lambda: site.edge.journal.counts["done"] == 50, "all rows done")
    assert site.worker.impediments == []


def test_labels_that_wait_for_the_broker_outlive_the_worker(
    site: Site, mqtt_broker: Broker, tmp_path: Path, wait_for: WaitFor
) -> None:
    spool = tmp_path / "spool"
    with edge_process(site, spool, {"thresholds": ALL_RISE, "provisional": False}) as worker:
        wait_for(worker.online, "the worker is online", 60)
        site.publish("cam", *map(sample, range(10)))
        wait_for(lambda: worker.count("escalations_total", device="cam", again="no") == 10, "the escalations")
        mqtt_broker.stop()
        wait_for(lambda: worker.check("/readyz")[0] == 503, "the worker is not ready")
        assert worker.check("/healthz") == (200, [])
        with site.cloud() as cloud:
            cloud.answer(10, classify)
        wait_for(lambda: worker.count("journal_rows", state="final") == 10, "all labels are in the journal")
        worker.kill()
        mqtt_broker.start()
        worker.start()
        wait_for(lambda: len(site.finals()) == 10, "every label", 60)
        assert [Label.decode(one).id for one in final_payloads(site)] == [f"s-{number}" for number in range(10)]


def test_labels_keep_the_order_of_their_samples_though_memory_holds_only_a_few(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._PENDING_MAX", 4)
    monkeypatch.setattr("services.edge.publish.outbox._REFILL_ROWS", 3)
    site.start_edge(mqtt={"inflight_max": 1}, thresholds=ALL_LEAVE)
    site.publish("cam", *map(sample, range(200)))
    wait_for(lambda: len(site.finals()) == 200, "every label", 30)
    assert [Label.decode(one).id for one in final_payloads(site)] == [f"s-{number}" for number in range(200)]


def test_provisional_labels_that_there_is_no_room_for_are_dropped_and_counted_and_no_final_is(
    site: Site, mqtt_broker: Broker, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._PENDING_MAX", 1)
    site.start_edge(mqtt={"inflight_max": 1}, thresholds=ALL_RISE)
    site.publish("cam", *map(sample, range(100)))
    with site.cloud() as cloud:
        cloud.answer(100, classify)
    wait_for(lambda: len(site.finals()) == 100, "every final", 30)
    provisional = sum(one.status == "provisional" for one in site.heard)
    assert provisional + site.count("drops_total", reason="label_unsent") == 100
    assert site.count("drops_total", reason="label_unsent") > 0
