"""The cloud worker against real Redis, with a stand-in for the network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import msgpack
import pytest
import redis

from services.cloud.networks import Networks
from services.cloud.worker import CloudWorker
from services.feature_stream import CloudFeatures, EdgeFeatures, Stream
from services.messages import Escalation, Reply
from services.metrics import CloudMetrics
from services.servers import RedisServer
from services.settings import CloudSettings, RedisSettings
from tests.conftest import WaitFor
from tests.services.cloud.stand_in import (
    BUNDLE,
    DEADLY,
    FINE,
    NOT_FINITE,
    PADDED,
    POISON,
    B,
    StandIn,
    escalation,
)

STREAM = Stream(B, 0)


class Rig:
    """Redis, an edge, and the means to start workers."""

    def __init__(self, server: RedisServer, wait_for: WaitFor, stack: ExitStack) -> None:
        self.server = server
        self.settings = RedisSettings(host=server.host, port=server.port, timeout_s=2.0)
        self.edge = EdgeFeatures(self.settings, network_id=B, partitions=1, site="s", worker="w")
        self.raw: Any = stack.enter_context(redis.Redis(server.host, server.port, protocol=2))
        self.wait_for = wait_for
        self.hung = threading.Event()
        stack.callback(self.edge.close)

    def send(self, *escalations: Escalation) -> None:
        self.edge.register()
        assert all(self.edge.escalate(escalations))

    def features(self, consumer: str, lease_s: float = 0.4) -> CloudFeatures:
        return CloudFeatures(self.settings, consumer=consumer, lease_s=lease_s, max_deliveries=3)

    def worker(
        self, network: StandIn, metrics: CloudMetrics, *, name: str = "worker", lease_s: float = 0.4, **changed: float
    ) -> CloudWorker:
        chosen = {"lease_s": lease_s, "linger_ms": 1.0, "batch_max": 16} | changed
        settings = CloudSettings.model_validate(chosen)
        networks = Networks([BUNDLE], lambda _: network)
        return CloudWorker(settings, self.features(name, lease_s), networks, metrics, on_hang=self.hung.set)

    @contextmanager
    def working(
        self, network: StandIn | None = None, metrics: CloudMetrics | None = None, **chosen: Any
    ) -> Iterator[CloudWorker]:
        worker = self.worker(network or StandIn(), metrics or CloudMetrics(), **chosen)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(20)
            assert not thread.is_alive()

    def replies(self, count: int) -> dict[str, Reply]:
        """Wait for `count` replies; by sample id."""
        self.wait_for(lambda: len(self.edge.read_replies(1000)) >= count, f"{count} replies arrive")
        entries = self.edge.read_replies(1000)
        assert len(entries) == count
        read = [entry.reply for entry in entries]
        return {reply.id: reply for reply in read if isinstance(reply, Reply)}

    def dead(self) -> list[dict[str, Any]]:
        return [msgpack.unpackb(fields[b"m"]) for _, fields in self.raw.xrange(STREAM.dead)]

    def nothing_left(self) -> bool:
        left = (self.raw.xlen(STREAM.features), self.raw.hlen(STREAM.notes), self.raw.hlen(STREAM.runs))
        return not any(left)


@pytest.fixture
def rig(redis_server: RedisServer, wait_for: WaitFor) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(redis_server, wait_for, stack)


def value(metrics: CloudMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"dewpoint_cloud_{name}", labels) or 0.0


def test_every_sample_is_answered_with_its_own_class(rig: Rig) -> None:
    rig.send(*(escalation(str(number), FINE, number % 10) for number in range(50)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(50)
    assert {int(name): reply.class_index for name, reply in replies.items()} == {n: n % 10 for n in range(50)}
    assert rig.nothing_left()
    assert value(metrics, "answered_total", network=B, outcome="label") == 50
    assert value(metrics, "wait_seconds_count") == 50
    assert value(metrics, "energy_joules_total") > 0


def test_batches_fill_up_while_they_linger(rig: Rig) -> None:
    network = StandIn()
    with rig.working(network, linger_ms=5000, batch_max=4):
        for number in range(4):
            rig.send(escalation(str(number)))
        rig.replies(4)
    assert network.batches == [4]


def test_a_network_registered_later_is_served(rig: Rig) -> None:
    with rig.working() as worker:
        rig.wait_for(lambda: worker.ready, "the worker reaches Redis")
        rig.send(escalation("a"))
        rig.replies(1)


@pytest.mark.parametrize("kind", [POISON, NOT_FINITE])
def test_poison_goes_to_the_dead_letters_and_takes_no_neighbour_along(rig: Rig, kind: int) -> None:
    rig.send(*(escalation(str(number), kind if number == 5 else FINE, 3) for number in range(16)))
    metrics = CloudMetrics()
    network = StandIn()
    with rig.working(network, metrics):
        replies = rig.replies(16)
    assert {name for name, reply in replies.items() if reply.class_index != 3} == {"5"}
    assert replies["5"].error
    [letter] = rig.dead()
    assert len(letter["history"]) == 3
    assert rig.nothing_left()
    assert value(metrics, "dead_lettered_total", reason="exhausted") == 1
    assert value(metrics, "answered_total", network=B, outcome="error") == 1
    assert max(network.batches) == 16


def test_features_that_are_no_features_are_not_run_again(rig: Rig) -> None:
    rig.send(escalation("short", features=b"\0"), escalation("padded", PADDED), escalation("fine", FINE, 1))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(3)
    assert (replies["fine"].class_index, replies["short"].class_index, replies["padded"].class_index) == (1, None, None)
    assert value(metrics, "dead_lettered_total", reason="wrong_features") == 2
    assert [letter["history"] for letter in rig.dead()] == [[], []]


def test_malformed_entries_go_to_the_dead_letters_and_are_answered_where_the_head_can_be_read(rig: Rig) -> None:
    rig.send(escalation("first"))
    headed = msgpack.packb({"v": 9, "site": "s", "worker": "w", "device": "d", "id": "headed", "attempt": 2})
    for payload in (b"\xc1\xff", b"", msgpack.packb([1, 2]), headed):
        rig.raw.xadd(STREAM.features, {"m": payload})
    rig.raw.xadd(STREAM.features, {"other": b"x"})
    rig.send(escalation("last"), escalation("stray", b="000000000000"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(4)
        rig.wait_for(rig.nothing_left, "the stream drains")
    assert replies["first"].class_index == replies["last"].class_index == 0
    assert "wrong_version" in (replies["headed"].error or "")
    assert "wrong_network" in (replies["stray"].error or "")
    assert replies["headed"].attempt == 2
    assert len(rig.dead()) == 6
    assert value(metrics, "drops_total", reason="not_msgpack") == 3
    assert value(metrics, "drops_total", reason="missing_field") == 1


def test_a_killed_workers_entries_are_run_alone_and_answered(rig: Rig) -> None:
    rig.send(*(escalation(str(number)) for number in range(5)))
    killed = rig.features("killed")
    killed.serve([STREAM])
    assert len(killed.read(10)) == 5
    killed.close()
    network, metrics = StandIn(), CloudMetrics()
    with rig.working(network, metrics):
        assert len(rig.replies(5)) == 5
    assert network.batches == [1] * 5
    assert value(metrics, "redelivered_total") == 5
    assert rig.nothing_left()


def test_an_entry_that_killed_its_workers_is_buried_without_another_run(rig: Rig) -> None:
    rig.send(escalation("deadly", DEADLY))
    for name in ("k1", "k2", "k3"):
        killed = rig.features(name)
        killed.serve([STREAM])
        killed.read(10)
        rig.wait_for(partial(killed.claim, STREAM), "the lease lapses")
        killed.close()
    network = StandIn()
    with rig.working(network):
        replies = rig.replies(1)
    assert network.batches == []
    assert "3 lone runs" in (replies["deadly"].error or "")


def test_leases_are_renewed_while_a_batch_runs(rig: Rig) -> None:
    slow, quick, metrics = StandIn(), StandIn(), CloudMetrics()
    slow.release.clear()
    rig.send(escalation("a"))
    with rig.working(slow, metrics):
        assert slow.entered.wait(10)
        with rig.working(quick, name="other"):
            rig.wait_for(lambda: value(metrics, "leases_renewed_total") >= 10, "leases are renewed")
            assert not rig.edge.read_replies()
            slow.release.set()
            rig.replies(1)
    assert quick.batches == []
    assert value(metrics, "answers_lost_total") == 0


def test_stopping_answers_the_batch_in_hand_and_leaves_no_consumer(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network) as worker:
        assert network.entered.wait(10)
        worker.stop()
        network.release.set()
    assert len(rig.replies(1)) == 1
    assert rig.raw.xinfo_consumers(STREAM.features, "cloud") == []


def test_a_forward_that_outlasts_its_bound_ends_the_worker(rig: Rig) -> None:
    network = StandIn()
    network.release.clear()
    rig.send(escalation("a"))
    with rig.working(network, batch_timeout_s=0.2):
        assert rig.hung.wait(10)
        network.release.set()


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
        assert network.entered.wait(10)
        rig.server.kill()
        network.release.set()
        rig.server.start()
        rig.replies(1)
    assert network.batches == [1]
