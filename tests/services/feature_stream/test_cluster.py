"""Redis in cluster mode: partitions on one node, on several, and on one that goes away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from services.feature_stream import CloudFeatures, EdgeFeatures, StreamUnavailableError
from services.feature_stream.dead import DeadLetters, Replayed
from services.feature_stream.shards import slot_of
from services.messages import Audit
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.conftest import WaitFor
from tests.services.feature_stream.stream import B, MakeCloud, answered, escalation, replies

SLOTS = 16384
PARTITIONS = 4


class ClusterNode(RedisServer):
    """A node that has no slots yet."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]


@pytest.fixture
def server(each_redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    with ClusterNode(tmp_path / "node", executable=each_redis_server.executable) as node:
        yield node


@pytest.fixture
def partitioned(settings: RedisSettings) -> Iterator[EdgeFeatures]:
    features = EdgeFeatures(settings, network_id=B, partitions=PARTITIONS, site="s", worker="w")
    yield features
    features.close()


def is_up(client: Any) -> bool:
    return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def test_a_node_without_its_slots_is_unavailable(partitioned: EdgeFeatures) -> None:
    for call in (partitioned.queue, partitioned.register, partitioned.read_replies):
        with pytest.raises(StreamUnavailableError, match=r"CLUSTERDOWN|[Hh]ash slot|cluster is down"):
            call()


def test_one_shard_serves_all_partitions(
    partitioned: EdgeFeatures, make_cloud: MakeCloud, raw: Any, wait_for: WaitFor
) -> None:
    raw.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
    wait_for(lambda: is_up(raw), "the cluster is up")
    partitioned.register()
    devices = [f"device-{number}" for number in range(16)]
    assert all(partitioned.escalate([escalation("a", device=device) for device in devices]))
    cloud = make_cloud(streams=partitioned.streams)
    assert cloud.registered() == set(partitioned.streams)
    deliveries = cloud.read(100, block_ms=100)
    assert {delivery.stream.partition for delivery in deliveries} == set(range(PARTITIONS))
    assert all(answered(cloud, deliveries))
    assert sorted(reply.device for reply in replies(partitioned)) == sorted(devices)
    partitioned.delete_replies(partitioned.read_replies())
    assert partitioned.read_replies(block_ms=200) == []


@pytest.fixture
def shards(server: RedisServer, raw: Any, tmp_path: Path, wait_for: WaitFor) -> Iterator[list[RedisServer]]:
    """Three nodes that share the slots; the settings name the first."""
    with contextlib.ExitStack() as stack:
        nodes, clients = [server], [raw]
        for name in ("second", "third"):
            nodes.append(stack.enter_context(ClusterNode(tmp_path / name, executable=server.executable)))
            clients.append(stack.enter_context(redis.Redis(nodes[-1].host, nodes[-1].port, protocol=2)))
            clients[-1].execute_command("CLUSTER MEET", server.host, server.port)
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTS", *range(number, SLOTS, 3))
        wait_for(lambda: all(is_up(client) for client in clients), "the cluster is up", 30)
        yield nodes


def pass_through(edge: EdgeFeatures, cloud: CloudFeatures, *, attempt: int) -> None:
    """A sample of each of many devices is sent up, answered, and its reply deleted."""
    devices = [f"device-{number}" for number in range(16)]
    assert all(edge.escalate([escalation("a", device=device, attempt=attempt) for device in devices]))
    assert all(edge.entries_exist([(device, "a") for device in devices]))
    assert edge.queue().length == 16
    deliveries = cloud.read(100, block_ms=100)
    assert len(deliveries) == 16
    assert all(answered(cloud, deliveries))
    assert sorted(reply.device for reply in replies(edge)) == sorted(devices)
    edge.delete_replies(edge.read_replies())
    assert edge.read_replies(block_ms=100) == []
    audits = [replace(escalation("b", device=device), audit=Audit(0, 0.5)) for device in devices]
    assert all(edge.audit(audits, length_max=100))
    assert cloud.audits(edge.network_id) == 16
    assert sum(len(cloud.take_audits(stream, 100)) for stream in edge.streams) == 16


def test_several_shards_are_followed(
    partitioned: EdgeFeatures, make_cloud: MakeCloud, shards: list[RedisServer], settings: RedisSettings
) -> None:
    partitioned.register()
    cloud = make_cloud(streams=partitioned.streams)
    assert cloud.registered() == set(partitioned.streams)
    pass_through(partitioned, cloud, attempt=1)
    assert len({slot_of(stream.features) % 3 for stream in partitioned.streams}) > 1, "they are on several nodes"
    partitioned.escalate([escalation("dead", device="device-1")])
    [delivery] = cloud.read(1, block_ms=100)
    assert cloud.dead_letter(delivery, "error").missed is None
    letters = DeadLetters(settings)
    [letter_id] = letters.ids()
    assert letters.replay(letter_id) is Replayed.SENT
    letters.close()


def test_a_shard_that_went_away_is_unavailable_and_comes_back(
    partitioned: EdgeFeatures, make_cloud: MakeCloud, shards: list[RedisServer], wait_for: WaitFor
) -> None:
    cloud = make_cloud(streams=partitioned.streams)
    pass_through(partitioned, cloud, attempt=1)
    shards[1].kill()
    with pytest.raises(StreamUnavailableError):
        partitioned.queue()
    shards[1].start()

    def is_back() -> bool:
        try:
            partitioned.register()
            partitioned.queue()
        except StreamUnavailableError:
            return False
        return True

    wait_for(is_back, "the shard is back", 30)
    pass_through(partitioned, cloud, attempt=2)


@pytest.mark.parametrize(
    "key", ["a", "dewpoint:registry", "dewpoint:{0123456789ab.3}:features", "{}x", "x{", "a{b}{c}"]
)
def test_a_keys_slot_is_redis_own(raw: Any, key: str) -> None:
    assert slot_of(key) == raw.execute_command("CLUSTER KEYSLOT", key)
