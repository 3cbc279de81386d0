"""A Redis that is wiped, full, gone, silent, loading, read-only, or refuses us."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from services.feature_stream import EdgeFeatures, StreamFullError, StreamUnavailableError
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.conftest import WaitFor
from tests.services.feature_stream.stream import STREAM, B, MakeCloud, answer, answered, escalation, replies


def test_a_wipe_with_open_connections_is_healed(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation("a")])
    [held] = cloud.read(10)
    raw.flushall()
    assert cloud.renew([held]) == [held]
    assert answered(cloud, [held]) == [False]
    assert cloud.claim(STREAM) is None
    assert not edge.entries_exist([("d", "a")])[0]
    assert cloud.registered() == frozenset()
    edge.register()
    assert edge.escalate([escalation("a", attempt=2)]) == [True]
    raw.script_flush()
    [again] = cloud.read(10)
    assert answered(cloud, [again]) == [True]
    assert [reply.attempt for reply in replies(edge)] == [2]


def test_a_full_redis_refuses_escalations_but_still_takes_answers(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a"), escalation("b")])
    first, second = cloud.read(10)
    raw.config_set("maxmemory", 1)
    with pytest.raises(StreamFullError):
        edge.escalate([escalation("c")])
    assert edge.escalate([escalation("a")]) == [False]
    assert cloud.renew([first, second]) == []
    assert answered(cloud, [first]) == [True]
    assert cloud.dead_letter(second, "error", answer=answer(second))
    assert edge.queue().length == 0
    assert len(replies(edge)) == 2
    edge.delete_replies(edge.read_replies())


def test_a_redis_that_is_gone_is_unavailable_and_comes_back(
    edge: EdgeFeatures, make_cloud: MakeCloud, server: RedisServer
) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    server.kill()
    for call in (edge.queue, edge.register, edge.read_replies, cloud.ensure_groups, lambda: cloud.read(1)):
        with pytest.raises(StreamUnavailableError):
            call()
    with pytest.raises(StreamUnavailableError):
        edge.escalate([escalation("b")])
    server.start()
    assert edge.escalate([escalation("a"), escalation("b")]) == [False, True]
    assert len(cloud.read(10)) == 2


def test_a_silent_redis_is_unavailable_within_the_timeout(server: RedisServer, raw: Any) -> None:
    quick = RedisSettings(host=server.host, port=server.port, timeout_s=0.3)
    edge = EdgeFeatures(quick, network_id=B, partitions=1, site="s", worker="w")
    edge.ping()
    raw.client_pause(60_000)
    began = time.monotonic()
    with pytest.raises(StreamUnavailableError, match=r"redis at 127\.0\.0\.1"):
        edge.escalate([escalation("a")])
    assert time.monotonic() - began < 30
    edge.close()


def test_the_password_is_read_from_its_file(server: RedisServer, raw: Any, tmp_path: Path) -> None:
    raw.config_set("requirepass", "secret")
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("secret\n")
    wrong.write_text("guess\n")
    for password_file in (None, wrong):
        stranger = EdgeFeatures(
            RedisSettings(port=server.port, password_file=password_file), network_id=B, site="s", worker="w"
        )
        with pytest.raises(StreamUnavailableError) as refusal:
            stranger.ping()
        assert "guess" not in str(refusal.value)
        stranger.close()
    known = EdgeFeatures(RedisSettings(port=server.port, password_file=right), network_id=B, site="s", worker="w")
    known.ping()
    known.close()


def test_a_read_only_replica_is_unavailable(edge: EdgeFeatures, raw: Any) -> None:
    raw.replicaof("127.0.0.1", 1)
    with pytest.raises(StreamUnavailableError):
        edge.escalate([escalation("a")])


def test_a_replica_is_unavailable_until_it_is_promoted(
    edge: EdgeFeatures, make_cloud: MakeCloud, server: RedisServer, raw: Any, tmp_path: Path, wait_for: WaitFor
) -> None:
    with RedisServer(tmp_path / "primary", executable=server.executable) as primary:
        raw.replicaof(primary.host, primary.port)
        wait_for(lambda: raw.info("replication")["master_link_status"] == "up", "the replica is in step")
        for write in (edge.register, make_cloud, lambda: edge.escalate([escalation("a")])):
            with pytest.raises(StreamUnavailableError):
                write()
        raw.replicaof("no", "one")
    assert edge.escalate([escalation("a")]) == [True]


def test_a_full_redis_that_no_worker_has_served_yet_can_be_drained(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    edge.escalate([escalation("a")])
    raw.config_set("maxmemory", 1)
    cloud = make_cloud()
    assert answered(cloud, cloud.read(10)) == [True]
    assert len(make_cloud().read(10)) == 0
    assert len(replies(edge)) == 1


@pytest.mark.parametrize("each_redis_server", ["bundled"], indirect=True)
def test_a_redis_that_loads_its_data_is_unavailable_until_it_has_them(
    edge: EdgeFeatures, server: RedisServer, raw: Any, wait_for: WaitFor
) -> None:
    edge.escalate([escalation("a")])
    with raw.pipeline(transaction=False) as pipeline:
        for number in range(3000):
            pipeline.set(f"key-{number}", number)
        pipeline.execute()
    raw.config_set("key-load-delay", 1000)
    seen: set[str] = set()

    def loading_is_seen() -> bool:
        try:
            edge.queue()
        except StreamUnavailableError as error:
            seen.add(str(error))
        return any("loading" in error for error in seen)

    loader = threading.Thread(target=load_again, args=(server,))
    loader.start()
    wait_for(loading_is_seen, "the answer is: loading", 30)
    loader.join(60)
    assert edge.escalate([escalation("a"), escalation("b")]) == [False, True]


def load_again(server: RedisServer) -> None:
    with redis.Redis(server.host, server.port, protocol=2) as client:
        client.execute_command("DEBUG LOADAOF")


def test_what_a_user_may_not_ask_is_left_out_of_the_queues_state(
    edge: EdgeFeatures, settings: RedisSettings, raw: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    raw.acl_setuser("limited", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-memory"])
    edge.escalate([escalation("a")])
    limited = EdgeFeatures(
        settings.model_copy(update={"username": "limited", "password_file": secret}), network_id=B, site="s", worker="w"
    )
    assert (limited.queue().length, limited.queue().bytes) == (1, None)
    limited.close()
