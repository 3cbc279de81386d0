"""Labels as plain text: class and confidence of each final, and the sample is finished once they have arrived too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.messages import label_topic
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker, RedisServer
from services.settings import MqttSettings
from tests.conftest import WaitFor, require_server
from tests.services.edge.publish.guarded import Guarded
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, Site, sample, says

SINKS = ["mqtt", "plain"]


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def plain(site: Site) -> Iterator[list[tuple[str, bytes]]]:
    """(topic, payload) of each plain message."""
    heard: list[tuple[str, bytes]] = []

    def hear(delivery: Delivery) -> None:
        heard.append((delivery.topic, delivery.payload))
        link.acknowledge([delivery])

    link = MqttLink(
        MqttSettings(port=site.broker.port),
        client_id="plain",
        filters=[Filter("dewpoint/+/label/+/+")],
        listener=OnMessage(hear),
    )
    with link:
        yield heard


def test_a_final_label_is_told_as_text_beside_the_json(
    site: Site, plain: list[tuple[str, bytes]], wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE, label_sinks=SINKS)
    site.publish("hall/küche 1", sample(1))
    wait_for(lambda: len(plain) == 2, "both messages")
    wait_for(lambda: site.finals(), "the label as JSON")
    [label] = site.finals().values()
    topic = label_topic(SITE, "hall/küche 1")
    assert plain == [
        (f"{topic}/class", label.label.encode()),
        (f"{topic}/confidence", f"{label.confidence:.6f}".encode()),
    ]
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")


def test_without_the_sink_nothing_is_told_as_text(
    site: Site, plain: list[tuple[str, bytes]], wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
    assert plain == []


def test_provisional_labels_and_corrections_are_left_out(
    site: Site, plain: list[tuple[str, bytes]], wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=0.2, correction=True, label_sinks=SINKS)
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    final = site.finals()["cam", "s-1"]
    with site.cloud() as cloud:
        cloud.answer(1, says((final.class_index + 1) % 10))
    wait_for(lambda: len(site.heard) == 3, "provisional, final and correction as JSON")
    site.publish("cam", sample(2))  # what comes after all of them
    wait_for(lambda: ("cam", "s-2") in site.finals(), "another final")
    wait_for(lambda: len(plain) == 4, "its messages")
    classes = [payload.decode() for topic, payload in plain if topic.endswith("/class")]
    assert classes == [final.label, site.finals()["cam", "s-2"].label]


def test_with_room_for_one_message_alone_every_label_is_told(
    site: Site, plain: list[tuple[str, bytes]], wait_for: WaitFor
) -> None:
    site.start_edge(mqtt={"inflight_max": 1}, thresholds=ALL_LEAVE, label_sinks=SINKS)
    site.publish("cam", *map(sample, range(30)))
    wait_for(lambda: len(site.finals()) == 30, "every label as JSON")
    wait_for(lambda: len(plain) == 60, "every label as text")
    wait_for(lambda: site.edge.journal.counts["done"] == 30, "all rows are done")
    labels = [site.finals()["cam", f"s-{number}"].label for number in range(30)]
    assert [payload.decode() for topic, payload in plain if topic.endswith("/class")] == labels


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_a_sample_is_finished_only_when_the_text_has_arrived_as_well(
    site: Site, plain: list[tuple[str, bytes]], mqtt_broker: Broker, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE, provisional=False, label_sinks=SINKS)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    mqtt_broker.stop()
    wait_for(lambda: not site.edge.connection.link.connected, "the loss")
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(lambda: site.edge.journal.counts["final"] == 1, "the label is in the journal")
    mqtt_broker.start()
    wait_for(lambda: len(plain) == 2, "the text", 30)
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
    assert plain[0] == (f"dewpoint/{SITE}/label/cam/class", b"3")


def test_a_label_of_which_the_broker_takes_only_a_part_has_not_arrived(
    redis_server: RedisServer, tmp_path: Path, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._REFUSED_PAUSE_S", 0.1)
    rules = [f"topic readwrite dewpoint/{SITE}/{what}" for what in ("in/+", "status/+", "label/+", "label/+/class")]
    with (
        require_server(lambda: Guarded(tmp_path / "broker", *rules)) as broker,
        Site(broker, redis_server, tmp_path) as site,
    ):
        site.start_edge(thresholds=ALL_LEAVE, label_sinks=SINKS)
        site.publish("cam", sample(1))
        wait_for(lambda: site.count("drops_total", reason="publish_refused") >= 3, "refusals of the confidence")
        assert (len(site.raw), site.edge.journal.counts["final"]) == (1, 1), "the JSON label has arrived, once"
        broker.allow(f"topic write dewpoint/{SITE}/label/+/confidence")
        wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
