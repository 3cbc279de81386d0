"""The cloud worker and a Redis that goes, fills up, is wiped, or is not needed any more."""

from __future__ import annotations

import pytest

from services.metrics import CloudMetrics
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import B, StandIn, escalation
from tests.services.mqtt.proxy import Proxy


@pytest.mark.parametrize("redis_server", ["bundled", "system"], indirect=True)
def test_a_wiped_redis_is_served_again(rig: Rig) -> None:
    with rig.working():
        rig.send(escalation("a"))
        rig.replies(1)
        rig.raw.flushall()
        rig.send(escalation("b"))
        assert list(rig.replies(1)) == ["b"]


def test_a_redis_that_goes_away_comes_back(rig: Rig) -> None:
    with rig.working() as worker:
        rig.send(escalation("a"))
        rig.replies(1)
        rig.server.kill()
        rig.wait_for(lambda: not worker.ready, "the worker notices")
        rig.server.start()
        rig.wait_for(lambda: worker.ready, "the worker is back", 20)
        rig.send(escalation("b"))
        rig.replies(2)


def test_an_answer_waits_for_a_redis_that_restarts(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network, lease_s=10):
        assert network.entered.wait(90)
        rig.server.kill()
        network.release.set()
        rig.server.start()
        rig.replies(1)
    assert network.batches == [1]


def test_while_a_batch_runs_a_redis_that_went_away_is_told(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network, lease_s=2.0) as worker:
        assert network.entered.wait(90)
        assert worker.ready
        rig.server.kill()
        rig.wait_for(lambda: not worker.ready, "the loss is told")
        assert worker.healthy
        rig.server.start()
        rig.wait_for(lambda: worker.ready, "and the return")
        network.release.set()
        rig.replies(1)
    assert not worker.ready
    assert not worker.healthy


def test_an_answer_whose_way_back_broke_is_not_counted_as_lost(rig: Rig) -> None:
    """The script ran, but its word does not come: the same answer is sent again, and finds its entry gone."""
    network, metrics = StandIn(), CloudMetrics()
    with Proxy(rig.server.port) as proxy:
        rig.settings = rig.settings.model_copy(update={"port": proxy.port, "timeout_s": 0.5})
        with rig.working(network, metrics, lease_s=30):
            rig.send(escalation("first"))
            rig.replies(1)
            network.release.clear()
            network.entered.clear()
            rig.send(escalation("a"))
            assert network.entered.wait(90)
            proxy.mute = True
            network.release.set()
            rig.replies(2)
            proxy.mute = False
            rig.wait_for(
                lambda: value(metrics, "answered_total", network=B, outcome="unconfirmed") == 1, "it is counted"
            )
    assert value(metrics, "answered_total", network=B, outcome="label") == 1
    assert value(metrics, "answers_lost_total") == 0
    rig.replies(2)


def test_an_answer_that_another_worker_gave_is_counted_as_lost(rig: Rig) -> None:
    slow, metrics = StandIn(), CloudMetrics()
    slow.release.clear()
    rig.send(escalation("a"))
    with rig.working(slow, metrics, lease_s=30):
        assert slow.entered.wait(90)
        [(entry_id, _)] = rig.raw.xrange(STREAM.features)
        rig.raw.xclaim(STREAM.features, "cloud", "thief", 0, [entry_id])
        slow.release.set()
        rig.wait_for(lambda: value(metrics, "answers_lost_total") == 1, "it is counted")
    assert rig.edge.read_replies() == []


def test_streams_that_no_edge_uses_any_more_are_let_go(rig: Rig) -> None:
    rig.send(escalation("a"))
    with rig.working():
        rig.replies(1)
    rig.raw.zadd("dewpoint:registry", {STREAM.name: 1e9})
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: rig.raw.zcard("dewpoint:registry") == 0, "the stream is forgotten")
        rig.wait_for(lambda: not rig.raw.exists(STREAM.features), "its keys are removed")
        rig.send(escalation("b"))
        rig.replies(2)


def test_a_full_redis_is_drained_by_workers_that_come_late(rig: Rig) -> None:
    rig.send(*(escalation(str(number)) for number in range(20)))
    rig.raw.config_set("maxmemory", 1)
    with rig.working() as worker:
        rig.replies(20)
        assert worker.ready
    assert rig.nothing_left()
