"""The shipped Redis ACLs, in real servers: what our code does passes, what nobody may do is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import redis

from services.feature_stream import Answer, CloudFeatures, EdgeFeatures, EntryState, Stream, StreamUnavailableError
from services.feature_stream.dead import DeadLetters, Replayed
from services.messages import Audit, Escalation, Reply
from services.security.feature_keys import FeatureKeys
from services.servers import find_redis_server
from tests.conftest import require_server
from tests.security.redis_users import client, denials, filled, settings
from tests.security.servers import Redis

B = "0123456789ab"
STREAM = Stream(B, 0)
OWN, OTHERS = STREAM.replies("site", "edge-1"), STREAM.replies("site", "edge-2")
LEASE_S = 0.3
VERSIONS = {"system": "users.acl", "bundled": "users-6.2.acl"}

ADMINISTRATION = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("BGSAVE",),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "me", "on", "nopass", "+@all", "~*"),
    ("MONITOR",),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SCRIPT", "FLUSH"),
    ("SCRIPT", "KILL"),
    ("EVAL", "return 1", "0"),
    ("SWAPDB", "0", "1"),
    ("MIGRATE", "127.0.0.1", "1", "k", "0", "1"),
    ("GET", "anything"),
    ("SET", "anything", "1"),
    ("RENAME", STREAM.features, "elsewhere"),
    ("XREADGROUP", "GROUP", "cloud", "me", "STREAMS", "elsewhere", ">"),
]
BY_EDGE = [
    ("XREADGROUP", "GROUP", "cloud", "me", "STREAMS", STREAM.features, ">"),
    ("XREAD", "STREAMS", STREAM.features, "0"),
    ("XACK", STREAM.features, "cloud", "1-0"),
    ("XDEL", STREAM.features, "1-0"),
    ("XTRIM", STREAM.features, "MAXLEN", "0"),
    ("XGROUP", "DESTROY", STREAM.features, "cloud"),
    ("DEL", STREAM.features),
    ("PEXPIRE", STREAM.features, "1"),
    ("HDEL", STREAM.notes, "n"),
    ("HGETALL", STREAM.notes),
    ("HGET", STREAM.runs, "1-0"),
    ("XADD", OWN, "*", "m", "forged"),
    ("XADD", OTHERS, "*", "m", "forged"),
    ("XREAD", "STREAMS", OTHERS, "0"),
    ("XDEL", OTHERS, "1-0"),
    ("PEXPIRE", OTHERS, "1"),
    ("XRANGE", STREAM.dead, "-", "+"),
    ("XADD", STREAM.dead, "*", "m", "x"),
    ("LPUSH", STREAM.dead_sizes, "0"),
    ("SADD", STREAM.unread, "1-0"),
    ("XRANGE", STREAM.audit, "-", "+"),
    ("XREAD", "STREAMS", STREAM.audit, "0"),
    ("XDEL", STREAM.audit, "1-0"),
    ("DEL", STREAM.audit),
    ("ZREM", "dewpoint:registry", STREAM.name),
    ("ZRANGE", "dewpoint:registry", "0", "-1"),
]
BY_CLOUD = [
    ("XADD", STREAM.features, "*", "m", "forged"),
    ("XADD", STREAM.features, "MAXLEN", "0", "*", "m", "x"),
    ("XADD", STREAM.audit, "*", "m", "forged"),
    ("XGROUP", "DESTROY", STREAM.features, "cloud"),
    ("XREAD", "STREAMS", OWN, "0"),
    ("XDEL", OWN, "1-0"),
    ("DEL", OWN),
    ("ZADD", "dewpoint:registry", "1", "forged.0"),
    ("DEL", "dewpoint:registry"),
    ("XRANGE", STREAM.dead, "-", "+"),
]
BY_AUDIT = [
    ("XRANGE", STREAM.features, "-", "+"),
    ("XREAD", "STREAMS", OWN, "0"),
    ("XDEL", STREAM.audit, "1-0"),
    ("XADD", STREAM.audit, "*", "m", "x"),
    ("XRANGE", STREAM.dead, "-", "+"),
]
BY_OPERATOR = [
    ("XREADGROUP", "GROUP", "cloud", "me", "STREAMS", STREAM.features, ">"),
    ("XADD", OWN, "*", "m", "forged"),
    ("XREAD", "STREAMS", OWN, "0"),
    ("DEL", STREAM.dead),
    ("XRANGE", STREAM.audit, "-", "+"),
    ("XADD", STREAM.audit, "*", "m", "forged"),
    ("ZADD", "dewpoint:registry", "1", "forged.0"),
]
REFUSED_IN_7 = [
    *[(user, command) for user in ("edge-1", "cloud", "audit", "operator") for command in ADMINISTRATION],
    *[("edge-1", command) for command in BY_EDGE],
    *[("cloud", command) for command in BY_CLOUD],
    *[("audit", command) for command in BY_AUDIT],
    *[("operator", command) for command in BY_OPERATOR],
]
COMMANDS_OF_EDGES_IN_6 = [command for command in BY_EDGE if command[0] not in ("XADD", "XREAD", "XDEL", "PEXPIRE")]
REFUSED_IN_6 = [
    *[(user, command) for user in ("edge-1", "cloud", "audit", "operator") for command in ADMINISTRATION[:-1]],
    *[("edge-1", command) for command in COMMANDS_OF_EDGES_IN_6 if command[:1] not in (("HGET",), ("XRANGE",))],
    ("cloud", ("XGROUP", "DESTROY", STREAM.features, "cloud")),
    ("cloud", ("ZADD", "dewpoint:registry", "1", "forged.0")),
    ("operator", ("XREADGROUP", "GROUP", "cloud", "me", "STREAMS", STREAM.features, ">")),
    ("edge-1", ("XADD", "elsewhere", "*", "m", "x")),
]


def started(kind: Any, folder: Path) -> Redis:
    acl = filled(VERSIONS[kind], folder / "users.acl")
    return require_server(lambda: Redis(folder / "redis", ["--aclfile", str(acl)], executable=find_redis_server(kind)))


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """The system's Redis, 7 or newer, with key permissions."""
    with started("system", tmp_path_factory.mktemp("redis-7")) as server:
        with client(server, "admin") as admin:
            version = str(admin.info("server")["redis_version"])
        if int(version.partition(".")[0]) < 7:
            pytest.skip(f"the system's Redis is {version}: key permissions came with 7")
        yield server


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Redis 6.2, which knows permissions on commands only."""
    with started("bundled", tmp_path_factory.mktemp("redis-6")) as server:
        yield server


@pytest.fixture(params=["six", "seven"])
def server(request: pytest.FixtureRequest) -> Redis:
    """Each version in turn, emptied, with nothing refused so far."""
    found: Redis = request.getfixturevalue(request.param)
    with client(found, "admin") as admin:
        admin.flushall()
    denials(found)
    return found


def said(value: object) -> str:
    return " ".join(value)[:60] if isinstance(value, tuple) else str(value)


def escalation(sample_id: str) -> Escalation:
    return Escalation(sample_id, "site", "edge-1", "d", B, 1, ((1, 0.5),), b"features", 1e9)


def edge_of(server: Redis, folder: Path, worker: str = "edge-1", **more: Any) -> EdgeFeatures:
    return EdgeFeatures(settings(server, worker, folder), network_id=B, site="site", worker=worker, **more)


@pytest.fixture
def edge(server: Redis, tmp_path: Path) -> Iterator[EdgeFeatures]:
    features = edge_of(server, tmp_path)
    yield features
    features.close()


@pytest.fixture
def cloud(server: Redis, tmp_path: Path) -> Iterator[CloudFeatures]:
    features = CloudFeatures(
        settings(server, "cloud", tmp_path), consumer=f"c-{uuid.uuid4()}", lease_s=LEASE_S, max_deliveries=2
    )
    yield features
    features.close()


@pytest.fixture
def letters(server: Redis, tmp_path: Path) -> Iterator[DeadLetters]:
    found = DeadLetters(settings(server, "operator", tmp_path))
    yield found
    found.close()


def answer(delivery: Any, error: str | None = None) -> Answer:
    sample = Escalation.decode(delivery.payload)
    told = (None, None, error) if error else (7, 0.9, None)
    return Answer(delivery, sample.site, sample.worker, Reply(sample.device, sample.id, sample.attempt, *told))


def test_a_whole_cycle_runs_under_the_users_and_nothing_is_refused(server, edge, cloud, letters, wait_for):
    edge.register([("ba9876543210", 2)])
    cloud.serve(cloud.registered())
    assert STREAM in cloud.streams
    edge.escalate([escalation("good"), escalation("bad"), escalation("lapsed")])
    assert edge.entries_exist([("d", "good"), ("d", "none")]) == [True, False]
    state = edge.queue()
    assert state.length == 3
    assert state.bytes is not None

    good, bad, _ = cloud.read(10)
    assert cloud.renew([good, bad]) == []
    assert isinstance(cloud.answer([answer(good)])[0], float)
    running = cloud.begin_lone_run(bad)
    assert running is not None
    assert cloud.uncount(running)
    running = cloud.begin_lone_run(bad)
    assert running is not None
    assert cloud.give_up(running, "broke", pause_s=0)
    by_id: dict[str, Any] = {}

    def both_are_claimed() -> bool:  # on a slow machine the first lease may lapse again before the second does
        one = cloud.claim(STREAM)
        by_id.update({Escalation.decode(one.payload).id: one} if one is not None else {})
        return by_id.keys() == {"bad", "lapsed"}

    wait_for(both_are_claimed, "two entries whose lease has lapsed")
    cloud.mend_leases()
    assert cloud.dead_letter(by_id["bad"], "broke", answer=answer(by_id["bad"], "broke")).missed is None
    assert cloud.dead_letter(by_id["lapsed"], "no address").missed is None
    assert cloud.queue(B).bytes is not None
    letters_count, letters_bytes = cloud.dead_letters(B)
    assert (letters_count, letters_bytes > 0) == (2, True)
    assert edge.entry_states([("d", "bad"), ("d", "lapsed")]) == [EntryState.GONE, EntryState.UNREAD]

    replies = edge.read_replies(block_ms=100)
    assert {reply.reply.class_index for reply in replies} == {7, None}
    edge.delete_replies(replies)
    assert edge.read_replies() == []

    first, second = letters.ids()
    assert letters.get(first) is not None
    assert letters.replay(first) is Replayed.SENT
    assert letters.drop(second)
    again = cloud.read(10)
    assert [Escalation.decode(one.payload).attempt for one in again] == [2]
    cloud.answer([answer(one) for one in again])
    edge.delete_replies(edge.read_replies())

    audits = [replace(escalation(name), audit=Audit(0, 0.5)) for name in ("a", "b")]
    assert edge.audit(audits, length_max=9) == [True, True]
    with client(server, "audit") as auditor:
        assert auditor.xlen(STREAM.audit) == 2
    assert cloud.audits(B) == 2
    assert len(cloud.take_audits(STREAM, 8)) == 2

    cloud.retire(silent_s=3600, leave=True)
    cloud.sweep_notes()
    cloud.forget_silent()
    assert denials(server) == []


def test_streams_that_nobody_uses_any_more_are_let_go(server, edge, cloud):
    edge.register()
    edge.audit([replace(escalation("a"), audit=Audit(0, 0.5))], length_max=9)
    cloud.serve(cloud.registered())
    with client(server, "admin") as admin:
        admin.zadd("dewpoint:registry", {STREAM.name: 1})
    assert cloud.forget_silent() == [STREAM]
    with client(server, "audit") as auditor:
        assert auditor.xlen(STREAM.audit) == 0
    assert denials(server) == []


def test_encrypted_features_make_the_same_way(server, cloud, tmp_path):
    path = tmp_path / "keys"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    keys = FeatureKeys(path, setting="edge.features_key_file")
    edge = edge_of(server, tmp_path, keys=keys)
    edge.register()
    cloud.serve([STREAM])
    edge.escalate([escalation("s")])
    [delivery] = cloud.read(10)
    assert b"features" not in delivery.payload.replace(b"\xa8features", b"", 1)
    assert keys.decrypt(Escalation.decode(delivery.payload)) == escalation("s")
    cloud.answer([answer(delivery)])
    edge.delete_replies(edge.read_replies())
    edge.close()


def test_nobody_gets_in_without_a_name(server):
    with client(server, None) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()


def test_a_wrong_password_is_refused_with_a_remedy(server, tmp_path):
    given = settings(server, "edge-1", tmp_path)
    assert given.password_file is not None
    given.password_file.write_text("a guess")
    edge = EdgeFeatures(given, network_id=B, site="site", worker="edge-1")
    with pytest.raises(StreamUnavailableError, match=r"redis\.username and redis\.password_file") as caught:
        edge.ping()
    edge.close()
    assert "a guess" not in str(caught.value)


def test_the_files_as_shipped_let_nobody_in(tmp_path):
    """Passwords are for their owner to set: there is none that everybody knows."""
    for name in VERSIONS.values():
        text = filled(name, tmp_path / name).with_name(name).read_text()
        assert "nopass" not in text
        assert text.count("#") == text.count(" on ")
    for kind, name in VERSIONS.items():
        shipped = Path(__file__).parents[2] / "deploy" / "redis" / name
        server = require_server(
            lambda kind=kind, shipped=shipped: Redis(
                tmp_path / kind, ["--aclfile", str(shipped)], executable=find_redis_server(kind)
            )
        )
        with server, client(server, "edge-1") as edge, pytest.raises(redis.AuthenticationError):
            edge.ping()


@pytest.mark.parametrize(("user", "command"), REFUSED_IN_7, ids=said)
def test_redis_7_refuses(seven, user, command):
    with client(seven, user) as it, pytest.raises(redis.exceptions.NoPermissionError):
        it.execute_command(*command)


@pytest.mark.parametrize(("user", "command"), REFUSED_IN_6, ids=said)
def test_redis_6_2_refuses_by_command(six, user, command):
    with client(six, user) as it, pytest.raises(redis.exceptions.NoPermissionError):
        it.execute_command(*command)


@pytest.mark.parametrize(
    "call",
    ["'XDEL', KEYS[1], '1-0'", "'XACK', KEYS[1], 'cloud', '1-0'", "'DEL', KEYS[1]", "'XTRIM', KEYS[1], 'MAXLEN', 0"],
)
def test_a_script_may_do_no_more_than_who_runs_it(seven, call):
    source = f"return redis.call({call})"
    with client(seven, "edge-1") as edge:
        edge.execute_command("SCRIPT LOAD", source)
        with pytest.raises(redis.ResponseError, match="user executing the script can't"):
            edge.execute_command("EVALSHA", sha1(source.encode()).hexdigest(), 1, STREAM.features)


def test_a_script_may_not_name_the_key_of_another(seven):
    source = "return redis.call('XREAD', 'STREAMS', KEYS[1], '0')"
    with client(seven, "edge-1") as edge:
        edge.execute_command("SCRIPT LOAD", source)
        with pytest.raises(redis.exceptions.NoPermissionError):
            edge.execute_command("EVALSHA", sha1(source.encode()).hexdigest(), 1, OTHERS)


def test_an_edge_under_another_name_reads_no_replies_but_its_own(seven, tmp_path):
    edge = EdgeFeatures(settings(seven, "edge-1", tmp_path), network_id=B, site="site", worker="edge-2")
    with pytest.raises(StreamUnavailableError, match="the ACL of edge-1 lacks it"):
        edge.read_replies()
    edge.close()


def test_what_an_acl_cannot_refuse_is_as_documented(seven):
    """Reading the head of the queue is reading; trimming rides on XADD. SECURITY.md says so."""
    with client(seven, "edge-2") as edge:
        edge.xadd(STREAM.features, {"m": b"of another edge"})
        assert edge.xrange(STREAM.features)
        edge.xadd(STREAM.features, {"m": b"x"}, maxlen=0, approximate=False)
        assert edge.xlen(STREAM.features) == 0


def test_a_large_entry_is_refused_by_the_deployed_limit(seven):
    limit = 1 << 20
    with client(seven, "admin") as admin:
        admin.config_set("proto-max-bulk-len", limit)
    with client(seven, "edge-1") as edge, pytest.raises((redis.RedisError, OSError)):
        edge.xadd(STREAM.features, {"m": bytes(limit + 1)})
