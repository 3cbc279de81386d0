"""Audits on the edge: chosen at random, sent behind hard samples, dropped where there is no room, never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import redis

from hybrid_model import energy
from hybrid_model.runtime import EdgeEngine
from services.edge.escalate import EscalationMaker
from services.edge.escalate.audit_queue import AuditQueue
from services.edge.observe.audit import Audits
from services.messages import Audit, Escalation
from services.metrics import DeviceNames, EdgeMetrics
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, SITE, WORKER, Site, network, pixels, sample

ALL = {"share": 1.0}


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def raw(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis(redis_server.host, redis_server.port, protocol=2) as client:
        yield client


def key(site: Site, kind: str) -> str:
    return f"dewpoint:{{{site.bundle.manifest.network_id}.0}}:{kind}"


def audits(site: Site, raw: Any) -> dict[str, Escalation]:
    """What lies in the audit stream, by sample."""
    found = [Escalation.decode(fields[b"m"]) for _, fields in raw.xrange(key(site, "audit"))]
    return {one.id: one for one in found}


def publish_and_hear(site: Site, wait_for: WaitFor, *numbers: int) -> None:
    before = len(site.finals())
    site.publish("cam", *(sample(number) for number in numbers))
    wait_for(lambda: len(site.finals()) == before + len(numbers), "final labels", 30)


def dropped(site: Site, reason: str) -> float:
    return site.count("audits_dropped_total", reason=reason)


def test_an_audit_holds_what_the_cloud_needs_and_the_label_is_what_it_would_have_been(site, raw, wait_for):
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)
    publish_and_hear(site, wait_for, *range(20))
    wait_for(lambda: len(audits(site, raw)) == 20, "the audits")
    engine = EdgeEngine(site.bundle)
    said = engine.infer(np.stack([pixels(number) for number in range(20)]), thresholds=ALL_LEAVE, force_cut=True)
    for number in range(20):
        one, label = audits(site, raw)[f"s-{number}"], site.finals()["cam", f"s-{number}"]
        assert (one.site, one.worker, one.device, one.network_id) == (
            SITE,
            WORKER,
            "cam",
            site.bundle.manifest.network_id,
        )
        assert one.audit == Audit(exit=0, share=1.0)
        assert one.exits == ((said.exit_classes[number, 0], said.exit_scores[number, 0]),)
        assert one.features == said.features[number]
        assert (label.class_index, label.exit, label.reason) == (one.exits[0][0], 0, "confident")
    assert raw.exists(key(site, "features"), key(site, "notes")) == 0
    assert site.count("audits_selected_total", device="cam", exit="0") == site.count("audits_sent_total") == 20
    stages_j = energy.stage_energy_j(site.bundle.manifest.layers).edge
    assert site.count("audit_energy_joules_total") == pytest.approx(20 * sum(stages_j))
    assert site.count("energy_joules_total", stage="0") == pytest.approx(20 * stages_j[0]), "told apart"
    assert 0 < raw.pttl(key(site, "audit")) <= 7 * 86_400_000, "it ends by itself where nobody adds any more"


def test_a_sample_that_comes_again_is_not_audited_again(site, raw, wait_for):
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)
    publish_and_hear(site, wait_for, 1)
    site.publish("cam", sample(1), sample(1))
    publish_and_hear(site, wait_for, 2)
    wait_for(lambda: len(audits(site, raw)) == 2, "the audits")
    assert raw.xlen(key(site, "audit")) == 2
    assert site.count("audits_selected_total", device="cam", exit="0") == 2


def test_hard_samples_are_never_audited_and_go_first(site, raw, wait_for, monkeypatch):
    """The sender is held up while both come in; Redis tells in which order they were sent."""
    engine = EdgeEngine(site.bundle)
    scores = engine.infer(np.stack([pixels(number) for number in range(40)])).exit_scores[:, 0]
    site.start_edge(thresholds=[float(np.median(scores))], audit=ALL)
    sender, go_on = site.edge.escalations._sender, threading.Event()
    is_due = sender._is_due
    monkeypatch.setattr(sender, "_is_due", lambda *what: go_on.wait(30) and is_due(*what))
    site.publish("cam", *(sample(number) for number in range(40)))
    wait_for(lambda: len(sender._fresh) == len(sender._audits._waiting) == 20, "both are in hand", 30)
    go_on.set()
    wait_for(lambda: len(audits(site, raw)) == 20, "the audits", 30)
    hard = {Escalation.decode(fields[b"m"]).id: entry_id for entry_id, fields in raw.xrange(key(site, "features"))}
    assert len(hard) == 20
    assert hard.keys().isdisjoint(audits(site, raw))
    [(first, _)] = raw.xrange(key(site, "audit"), count=1)

    def order(entry_id: bytes) -> tuple[int, ...]:
        return tuple(map(int, entry_id.split(b"-")))

    assert max(map(order, hard.values())) <= order(first)


def test_a_stream_that_is_long_enough_takes_no_more(site, raw, wait_for):
    site.start_edge(thresholds=ALL_LEAVE, audit={**ALL, "queue_length_max": 5})
    publish_and_hear(site, wait_for, *range(12))
    wait_for(lambda: dropped(site, "stream_full") == 7, "the others are dropped")
    assert raw.xlen(key(site, "audit")) == 5 == site.count("audits_sent_total")


def test_while_hard_samples_are_shed_nothing_is_audited(site, raw, wait_for):
    raw.xadd(key(site, "features"), {"m": b"of another edge"})
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL, queue_length_max=1)
    wait_for(lambda: site.count("queue_depth") == 1, "the queue was seen")
    publish_and_hear(site, wait_for, *range(3))
    wait_for(lambda: dropped(site, "queue_full") == 3, "they are dropped")
    assert raw.exists(key(site, "audit")) == 0


def test_while_redis_is_away_labels_go_on_and_no_energy_is_spent_on_audits(site, redis_server, raw, wait_for):
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)
    wait_for(lambda: site.count("redis_reachable") == 1, "Redis is reached")
    redis_server.stop()
    wait_for(lambda: not site.edge.escalations.reachable, "Redis is missed", 20)
    publish_and_hear(site, wait_for, *range(5))
    assert dropped(site, "redis_away") == 5
    assert site.count("audit_energy_joules_total") == 0
    redis_server.start()
    wait_for(lambda: site.edge.escalations.reachable, "Redis is back", 30)
    wait_for(lambda: site.edge.halves[0].observer._audits._queue.refusal is None, "audits are taken again", 30)
    publish_and_hear(site, wait_for, 5)
    wait_for(lambda: len(audits(site, raw)) == 1, "the audit", 30)


def test_where_the_user_may_not_write_audits_hard_samples_go_on(site, raw, wait_for, monkeypatch):
    """As with the ACL of an earlier version: Redis refuses, and nobody takes that for an outage."""
    wanted = key(site, "audit")
    raw.execute_command("ACL", "SETUSER", "default", "resetkeys", "~dewpoint:*:features", "~dewpoint:*:notes",
                        "~dewpoint:*:unread", "~dewpoint:*:replies*", "~dewpoint:registry")  # fmt: skip
    with pytest.raises(redis.exceptions.NoPermissionError):
        raw.xlen(wanted)
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)
    publish_and_hear(site, wait_for, *range(3))
    wait_for(lambda: dropped(site, "redis_away") == 3, "the audits are dropped")
    assert site.edge.escalations.reachable
    assert site.count("redis_reachable") == 1


def test_what_goes_wrong_with_audits_stops_no_worker(site, raw, wait_for, monkeypatch):
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(site.edge.halves[0].observer._audits, "_engine", SimpleNamespace(infer=broken))
    publish_and_hear(site, wait_for, *range(3))
    wait_for(lambda: dropped(site, "failed") == 3, "they are dropped")
    monkeypatch.setattr(site.edge.halves[0].observer._audits, "_random", SimpleNamespace(random=broken))
    publish_and_hear(site, wait_for, 3)
    assert site.worker.healthy
    assert raw.exists(key(site, "audit")) == 0


def test_what_goes_wrong_while_audits_are_sent_is_no_outage(site, raw, wait_for, monkeypatch):
    site.start_edge(thresholds=ALL_LEAVE, audit=ALL)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(site.edge.escalations.streams.current, "audit", broken)
    publish_and_hear(site, wait_for, *range(3))
    wait_for(lambda: dropped(site, "failed") == 3, "they are dropped")
    assert site.edge.escalations.reachable


def chooser(share: float) -> Audits:
    bundle, metrics = network("digits"), EdgeMetrics()
    queue, devices = AuditQueue(length_max=10, metrics=metrics), DeviceNames(4)
    return Audits(
        share=share,
        manifest=bundle.manifest,
        engine=EdgeEngine(bundle),
        escalations=EscalationMaker(site=SITE, worker=WORKER, network_id=bundle.manifest.network_id),
        queue=queue,
        metrics=metrics,
        devices=devices,
    )


def test_each_confident_sample_has_the_same_chance():
    left = np.arange(20_000) % 2 - 1  # every other one is escalated
    chosen = chooser(0.1).choose(range(20_000), SimpleNamespace(exit_index=left))
    assert 850 < len(chosen) < 1150
    assert all(one.sample % 2 and one.exit_index == 0 for one in chosen)
    assert 9000 < np.mean([one.sample for one in chosen]) < 11_000
    assert chooser(0.0).choose(range(20_000), SimpleNamespace(exit_index=left)) == []


def test_what_waits_in_hand_is_bounded_and_each_drop_is_counted():
    metrics = EdgeMetrics()
    queue = AuditQueue(length_max=10, metrics=metrics)
    one = Escalation("s", SITE, WORKER, "cam", "0123456789ab", 1, ((1, 0.5),), b"f", 1e9, audit=Audit(0, 0.5))

    def count(reason: str) -> float | None:
        return metrics.registry.get_sample_value("dewpoint_audits_dropped_total", {"reason": reason})

    assert queue.refusal is None
    queue.offer([one] * 600)
    assert count("too_many") == 600 - 512
    assert queue.refusal == "too_many"
    queue.refuse(3)
    assert count("too_many") == 600 - 512 + 3
    queue.drop("stopped")
    assert count("stopped") == 512
