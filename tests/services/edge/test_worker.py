"""The edge worker between real servers: what comes in, what goes out, what is kept in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from hybrid_model.runtime import EdgeEngine
from services.edge.errors import EdgeError
from services.edge.journal.samples import Journal
from services.messages import Reply, Status, label_topic
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.rejected import rejections
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, WORKER, Site, fails, pixels, sample, says
from tests.services.mqtt.proxy import Proxy


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


both_brokers = pytest.mark.parametrize("mqtt_broker", ["nats", "mosquitto"], indirect=True)


@both_brokers
def test_a_confident_sample_gets_one_final_label_as_the_engine_decides(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", *(sample(number) for number in range(20)))
    wait_for(lambda: len(site.finals()) == 20, "20 finals")
    result = EdgeEngine(site.bundle).infer(np.stack([pixels(n) for n in range(20)]), thresholds=ALL_LEAVE)
    for number in range(20):
        label = site.finals()["cam", f"s-{number}"]
        assert label.class_index == result.class_index[number]
        assert label.label == site.bundle.manifest.classes[label.class_index]
        assert (label.exit, label.reason, label.corrected) == (0, "confident", False)
        assert label.captured_at == 1e9 + number
        assert label.bundle == f"digits@{site.bundle.manifest.network_id}"
        assert label.energy_j is not None
    assert len(site.heard) == 20
    wait_for(lambda: site.count("messages_acknowledged_total") == 20, "acknowledgements")
    assert site.count("exits_total", device="cam", exit="0", reason="confident") == 20
    assert site.count("samples_received_total", device="cam") == 20


@both_brokers
def test_a_hard_sample_gets_a_provisional_label_at_once_and_the_clouds_later(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.heard, "the provisional label")
    [provisional] = site.heard
    assert (provisional.status, provisional.reason, provisional.exit) == ("provisional", "escalated", 0)
    other_class = (provisional.class_index + 1) % 10
    with site.cloud() as cloud:
        [escalation] = cloud.answer(1, says(other_class))
    assert (escalation.site, escalation.worker, escalation.device, escalation.id) == (SITE, WORKER, "cam", "s-1")
    assert len(escalation.features) == site.bundle.manifest.cut.bytes
    assert len(escalation.exits) == 1
    wait_for(site.finals, "the final label")
    final = site.finals()["cam", "s-1"]
    assert (final.class_index, final.exit, final.reason, final.corrected) == (other_class, "cloud", "escalated", True)
    assert final.energy_j is not None
    assert provisional.energy_j is not None
    assert final.energy_j > provisional.energy_j
    wait_for(lambda: site.count("corrections_total", device="cam") == 1, "the correction is counted")


def test_provisional_labels_can_be_switched_off(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, provisional=False)
    site.publish("cam", sample(1))
    with site.cloud() as cloud:
        cloud.answer(1, says(3))
    wait_for(site.finals, "the final label")
    assert [one.status for one in site.heard] == ["final"]


def test_replies_are_deleted_once_they_are_committed(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", *(sample(number) for number in range(5)))
    with site.cloud() as cloud:
        cloud.answer(5, says(3))
    wait_for(lambda: len(site.finals()) == 5, "the finals")
    features = site.edge.escalations.streams.current
    wait_for(lambda: features.read_replies() == [], "an empty reply stream")


def test_where_the_cloud_gives_up_the_edges_label_becomes_final(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    with site.cloud() as cloud:
        cloud.answer(1, fails("poison"))
    wait_for(site.finals, "the final label")
    final = site.finals()["cam", "s-1"]
    assert (final.reason, final.exit, final.corrected) == ("failed", 0, False)
    assert final.class_index == site.heard[0].class_index


def test_a_class_that_the_network_does_not_know_is_no_answer(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    with site.cloud() as cloud:
        cloud.answer(1, says(10))
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-1"].reason == "failed"


def test_a_sample_that_comes_again_gets_the_same_label_again_and_no_second_decision(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1))
    wait_for(lambda: len(site.raw) == 1, "the label")
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row done")
    site.publish("cam", sample(1))
    wait_for(lambda: len(site.raw) == 2, "the label again")
    assert site.raw[0] == site.raw[1]
    assert site.count("samples_received_total", device="cam") == 1
    assert site.count("samples_redelivered_total", state="done") == 1


def test_a_hard_sample_that_comes_again_stays_waiting_and_is_not_sent_twice(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("samples_redelivered_total", state="waiting") == 1, "the redelivery")
    assert site.edge.escalations.streams.current.queue().length == 1
    assert len(site.heard) == 1


def test_an_id_reused_for_another_payload_is_rejected_and_the_first_label_stands(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1, sample_id="same"), sample(2, sample_id="same"))
    wait_for(lambda: site.count("drops_total", reason="id_reused") == 1, "the rejection")
    wait_for(lambda: site.count("messages_acknowledged_total") == 2, "both acknowledged")
    assert site.finals()["cam", "same"].captured_at == 1e9 + 1
    assert len(site.heard) == 1


def test_two_devices_may_use_one_id(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam-1", sample(1, sample_id="same"))
    site.publish("cam-2", sample(2, sample_id="same"))
    wait_for(lambda: set(site.finals()) == {("cam-1", "same"), ("cam-2", "same")}, "a final for each")


@both_brokers
def test_devices_with_strange_names_are_answered_on_their_own_level(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    device = "hall/1 #+%*>..:@!$&'(),;=é"
    site.publish(device, sample(1))
    wait_for(site.finals, "the label")
    assert site.heard[0].device == device
    assert label_topic(SITE, device).count("/") == 3


BAD = {
    "not_msgpack": b"\xc1 garbage",
    "wrong_version": msgpack.packb({"v": 99}),
    "missing_field": msgpack.packb({"v": 1, "id": "x", "kind": "array", "dtype": None, "shape": None}),
    "wrong_shape": msgpack.packb(
        {"v": 1, "id": "x", "captured_at": 1, "kind": "array", "shape": [8, 8, 3], "dtype": "uint8", "data": b""}
    ),
    "bad_image": msgpack.packb(
        {"v": 1, "id": "x", "captured_at": 1, "kind": "image", "shape": None, "dtype": None, "data": b"GIF89a"}
    ),
    "oversized": bytes(5000),
}


def test_bad_input_is_counted_listed_and_acknowledged_and_the_rest_goes_on(site: Site, wait_for: WaitFor) -> None:
    site.limits = {"payload_bytes_max": 4096}
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", *BAD.values(), sample(1))
    wait_for(site.finals, "the good sample's label")
    wait_for(lambda: site.count("messages_acknowledged_total") == len(BAD) + 1, "all acknowledged")
    for reason in BAD:
        assert site.count("drops_total", reason=reason) == 1, reason
    listed = {one.reason: one.device for one in rejections(site.folder / "spool" / "journal.sqlite")}
    assert listed == dict.fromkeys(BAD, "cam")


def test_a_rejected_message_that_comes_again_is_counted_once(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", b"garbage", b"garbage")
    wait_for(lambda: site.count("messages_acknowledged_total") == 2, "both acknowledged")
    assert sum(site.count("drops_total", reason=reason) for reason in ("not_msgpack", "wrong_version")) == 1


def test_after_a_restart_hard_samples_still_get_their_answer(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", *(sample(number) for number in range(4)))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 4, "the escalations")
    site.stop_edge()
    with site.cloud() as cloud:
        cloud.answer(4, says(3))
    assert site.finals() == {}
    site.start_edge(thresholds=ALL_RISE)
    wait_for(lambda: len(site.finals()) == 4, "the finals")
    assert site.count("escalations_total", device="cam", again="yes") == 0


def test_after_a_restart_labels_that_were_not_published_are_published_as_they_were(
    site: Site, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the label")
    site.stop_edge()
    with Journal(site.folder / "spool" / "journal.sqlite") as journal:
        journal._database._db.execute("UPDATE samples SET state = 'final'")  # as if its PUBACK had never come
    site.start_edge(thresholds=ALL_LEAVE)
    wait_for(lambda: len(site.raw) == 2, "the label again")
    assert site.raw[0] == site.raw[1]
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row done")


def test_after_redis_lost_everything_hard_samples_are_sent_again_and_answered_once(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", *(sample(number) for number in range(10)))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 10, "the escalations")
    redis_server.restart(hard=True, wipe=True)
    with site.cloud() as cloud:
        again = cloud.answer(10, says(3), timeout_s=30)
    assert {one.id for one in again} == {f"s-{number}" for number in range(10)}
    assert {one.attempt for one in again} == {2}
    wait_for(lambda: len(site.finals()) == 10, "the finals")
    assert {one.reason for one in site.finals().values()} == {"escalated"}


def test_while_redis_is_away_the_edge_goes_on_and_multiplies_nothing(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(0))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    redis_server.stop()
    site.publish("cam", *(sample(number) for number in range(1, 6)))
    wait_for(lambda: len(site.heard) == 6, "provisional labels")
    wait_for(lambda: not site.edge.escalations.reachable, "the loss is noticed")
    redis_server.start()
    with site.cloud() as cloud:
        cloud.answer(6, says(3), timeout_s=30)
    wait_for(lambda: len(site.finals()) == 6, "the finals")
    assert site.edge.escalations.streams.current.queue().length == 0


def test_an_edge_starts_without_redis_and_escalates_when_it_comes(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    redis_server.stop()
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.heard, "the provisional label")
    redis_server.start()
    with site.cloud() as cloud:
        cloud.answer(1, says(3), timeout_s=30)
    wait_for(site.finals, "the final label")


@pytest.mark.parametrize("away", [False, True])
def test_after_its_deadline_the_edges_label_becomes_final(
    site: Site, redis_server: RedisServer, wait_for: WaitFor, away: bool
) -> None:
    site.start_edge(thresholds=ALL_RISE, deadline_s=1.0 if away else 0.3)
    if away:
        redis_server.stop()
        wait_for(lambda: not site.edge.escalations.reachable, "the loss is noticed")
    site.publish("cam", sample(1))
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-1"].reason == ("offline" if away else "deadline")


def test_a_stream_over_its_limit_takes_no_more_and_samples_are_shed(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, queue_length_max=3)
    site.publish("cam", *(sample(number) for number in range(3)))
    wait_for(lambda: site.count("queue_depth") == 3, "the limit is noticed")
    site.publish("cam", sample(3))
    wait_for(site.finals, "the final label")
    assert site.finals()["cam", "s-3"].reason == "shed"
    assert site.edge.escalations.streams.current.queue().length == 3


def test_no_more_samples_wait_than_the_bound(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, waiting_max=2)
    site.publish("cam", *(sample(number) for number in range(5)))
    wait_for(lambda: len(site.finals()) == 3, "three final labels")
    assert {one.reason for one in site.finals().values()} == {"shed"}
    assert site.edge.journal.counts["waiting"] == 2


def test_replies_that_nobody_waits_for_or_can_read_are_counted_and_deleted(
    site: Site, redis_server: RedisServer, wait_for: WaitFor
) -> None:
    import redis

    site.start_edge()
    features = site.edge.escalations.streams.current
    key = features.streams[0].replies(SITE, WORKER)
    with redis.Redis(port=redis_server.port) as raw:
        raw.xadd(key, {"m": b"garbage"})
        raw.xadd(key, {"m": Reply("cam", "nobody", 1, 3, 0.5, None).encode()})
    wait_for(lambda: site.count("replies_received_total", outcome="unknown") == 1, "the unknown reply")
    assert site.count("replies_received_total", outcome="malformed") == 1
    wait_for(lambda: features.read_replies() == [], "an empty reply stream")


def test_the_status_is_online_then_stopped_and_is_kept_by_the_broker(site: Site, wait_for: WaitFor) -> None:
    site.start_edge()
    wait_for(lambda: len(site.statuses) == 1, "the birth")
    status = Status.decode(site.statuses[0])
    assert (status.state, status.worker, status.kernel) == ("online", WORKER, EdgeEngine(site.bundle).kernel)
    site.stop_edge()
    wait_for(lambda: len(site.statuses) == 2, "the farewell")
    assert json.loads(site.statuses[1])["state"] == "stopped"


def test_samples_of_qos_0_are_answered_too(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1), qos=0)
    wait_for(site.finals, "the label")


@both_brokers
def test_samples_that_came_while_the_edge_was_away_are_answered_later(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.stop_edge()
    site.publish("cam", *(sample(number) for number in range(50)))
    site.start_edge(thresholds=ALL_LEAVE)
    wait_for(lambda: len(site.finals()) == 50, "the finals")
    assert len(site.heard) == 50


def test_thresholds_that_do_not_fit_the_network_are_refused_at_the_start(site: Site) -> None:
    with pytest.raises(EdgeError, match="digits has 1 exits"):
        site.start_edge(thresholds=[0.1, 0.2])


def test_rows_that_wait_for_an_older_network_get_its_answer_by_its_class_names(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("escalations_total", device="cam", again="no") == 1, "the escalation")
    site.stop_edge()
    old = site.bundle.manifest
    renamed = tuple(f"new {name}" for name in old.classes)
    site.bundle = replace(site.bundle, manifest=old.model_copy(update={"network_id": "f" * 12, "classes": renamed}))
    site.start_edge(thresholds=ALL_RISE)
    site.publish("cam", sample(2))
    with site.cloud() as cloud:
        sent = cloud.answer(2, says(3))
    assert {one.network_id for one in sent} == {old.network_id, "f" * 12}
    wait_for(lambda: len(site.finals()) == 2, "both finals")
    assert site.finals()["cam", "s-1"].label == "3"
    assert site.finals()["cam", "s-2"].label == "new 3"


def test_labels_that_memory_has_no_room_for_are_fetched_from_the_journal(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._PENDING_MAX", 4)
    monkeypatch.setattr("services.edge.publish.outbox._REFILL_ROWS", 3)
    site.start_edge(mqtt={"inflight_max": 2}, thresholds=ALL_LEAVE)
    site.publish("cam", *(sample(number) for number in range(100)))
    wait_for(lambda: len(site.finals()) == 100, "every final", timeout_s=30)
    wait_for(lambda: site.edge.journal.counts == {"waiting": 0, "final": 0, "done": 100}, "all rows done")
    assert len(site.heard) == 100


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_a_link_that_is_cut_again_and_again_loses_nothing_and_changes_nothing(
    site: Site, mqtt_broker: Broker, wait_for: WaitFor
) -> None:
    with Proxy(mqtt_broker.port) as proxy:
        site.start_edge(mqtt={"port": proxy.port}, thresholds=ALL_LEAVE)
        for number in range(300):
            site.publish("cam", sample(number))
            if number % 60 == 30:
                proxy.cut()
        wait_for(lambda: len(site.finals()) == 300, "every final", timeout_s=30)
        assert site.edge.connection.link.generation > 1
        forms: dict[str, set[bytes]] = {}
        for label, raw in zip(site.heard, site.raw, strict=True):
            forms.setdefault(label.id, set()).add(raw)
        assert {len(one) for one in forms.values()} == {1}
        site.stop_edge()
