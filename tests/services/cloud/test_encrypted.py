"""Encrypted features in real Redis: answered with the key, left alone without it, refused where they are forged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.feature_stream import EdgeFeatures
from services.messages import Escalation
from services.metrics import CloudMetrics
from services.security.feature_keys import FeatureKeys
from services.settings import SettingsError
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import FINE, POISON, B, StandIn, escalation

Encrypting = Callable[[str], FeatureKeys]


@pytest.fixture
def keys(tmp_path: Path) -> Encrypting:
    """Keys of a file of this name; it is made where it is not there."""

    def of(name: str) -> FeatureKeys:
        path = tmp_path / name
        if not path.exists():
            path.write_text(os.urandom(32).hex())
            path.chmod(0o600)
        return FeatureKeys(path, setting="edge.features_key_file")

    return of


def send(rig: Rig, keys: FeatureKeys, *escalations: Escalation) -> None:
    """From an edge that encrypts."""
    edge = EdgeFeatures(rig.settings, network_id=B, site="s", worker="w", keys=keys)
    edge.register()
    assert all(edge.escalate(escalations))
    edge.close()


def test_with_the_key_every_sample_is_answered(rig, keys, tmp_path):
    send(rig, keys("ours"), *(escalation(str(n), FINE, n) for n in range(8)))
    with rig.working(features_key_file=tmp_path / "ours") as worker:
        replies = rig.replies(8)
        assert worker.ready
    assert {int(name): reply.class_index for name, reply in replies.items()} == {n: n for n in range(8)}
    assert rig.nothing_left()


def test_what_lies_in_redis_shows_no_features(rig, keys):
    send(rig, keys("ours"), escalation("a", FINE, 3))
    [(_, fields)] = rig.raw.xrange(STREAM.features)
    assert escalation("a", FINE, 3).features not in fields[b"m"]


@pytest.mark.parametrize("other", ["theirs", None], ids=["another-key", "no-key"])
def test_without_the_key_an_entry_is_no_poison_and_waits_for_whoever_has_it(rig, keys, tmp_path, other):
    send(rig, keys("ours"), escalation("locked", FINE, 4))
    file = {} if other is None else {"features_key_file": keys(other) and tmp_path / other}
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, lease_s=0.2, **file) as worker:
        rig.wait_for(lambda: value(metrics, "locked_total") >= 6, "it comes by more often than deliveries are allowed")
        assert not worker.ready
        rig.send(escalation("plain", FINE, 2))
        assert rig.replies(1)["plain"].class_index == 2
    assert rig.dead() == []
    assert rig.raw.hgetall(STREAM.runs) == {}
    with rig.working(name="other", lease_s=0.2, features_key_file=tmp_path / "ours"):
        assert rig.replies(2)["locked"].class_index == 4
    assert rig.nothing_left()


def test_a_key_that_is_added_is_used_without_a_restart(rig, keys, tmp_path):
    send(rig, keys("new"), escalation("a", FINE, 5))
    keys("old")
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, lease_s=0.2, features_key_file=tmp_path / "old") as worker:
        rig.wait_for(lambda: value(metrics, "locked_total") >= 1, "it comes by")
        with (tmp_path / "old").open("a") as file:
            file.write("\n" + (tmp_path / "new").read_text())
        assert rig.replies(1)["a"].class_index == 5
        rig.wait_for(lambda: worker.ready, "the worker is ready again")


def test_runs_that_failed_before_stay_counted(rig, keys, tmp_path):
    """A worker without the key takes back only its own start of a run."""
    send(rig, keys("ours"), escalation("bad", POISON))
    features = rig.features("first")
    features.serve([STREAM])
    [delivery] = features.read(1)
    running = features.begin_lone_run(delivery)
    assert running is not None
    assert features.give_up(running, "broke", pause_s=0)
    features.close()
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, lease_s=0.2):
        rig.wait_for(lambda: value(metrics, "locked_total") >= 4, "it comes by")
    [history] = rig.raw.hvals(STREAM.runs)
    assert len(history.splitlines()) == 1
    with rig.working(name="other", lease_s=0.2, features_key_file=tmp_path / "ours"):
        assert rig.replies(1)["bad"].error
    [letter] = rig.dead()
    assert len(letter["history"]) == 3


def test_on_a_full_redis_a_start_is_taken_back_too(rig, keys):
    send(rig, keys("ours"), escalation("bad", POISON))
    features = rig.features("first")
    features.serve([STREAM])
    [delivery] = features.read(1)
    first = features.begin_lone_run(delivery)
    assert first is not None
    second = features.begin_lone_run(first)
    assert second is not None
    rig.raw.config_set("maxmemory", 1)
    assert features.uncount(second)
    assert rig.raw.hvals(STREAM.runs) == [first.history[0].encode()]
    features.close()


@pytest.mark.parametrize("field", ["device", "id", "worker", "site"])
def test_an_entry_that_was_swapped_is_refused(rig, keys, tmp_path, field):
    ours = keys("ours")
    one = ours.encrypt(escalation("a", FINE, 3))
    moved = replace(one, **{field: f"{getattr(one, field)}-other"})
    rig.edge.register()
    rig.raw.xadd(STREAM.features, {"m": moved.encode()})
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, features_key_file=tmp_path / "ours"):
        rig.wait_for(lambda: rig.dead() != [], "it is a dead letter")
    assert value(metrics, "drops_total", reason="bad_encryption") == 1
    assert value(metrics, "answered_total", network=B, outcome="label") == 0


def test_plain_features_are_refused_where_only_encrypted_ones_are_wanted(rig, keys, tmp_path):
    ours = keys("ours")
    rig.send(escalation("plain", FINE, 1))
    send(rig, ours, escalation("encrypted", FINE, 2))
    with rig.working(features_key_file=tmp_path / "ours", encrypted_only=True):
        replies = rig.replies(2)
    assert (replies["plain"].class_index, replies["encrypted"].class_index) == (None, 2)
    assert "not_encrypted" in (replies["plain"].error or "")


def test_an_entry_beyond_all_bounds_is_refused_and_answered(rig):
    rig.send(escalation("vast", features=bytes(2 << 20)), escalation("fine", FINE, 1))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        replies = rig.replies(2)
    assert (replies["vast"].class_index, replies["fine"].class_index) == (None, 1)
    assert value(metrics, "drops_total", reason="oversized") == 1


def test_a_reply_beyond_all_bounds_is_no_reply(rig):
    rig.edge.register()
    rig.raw.xadd(STREAM.replies("s", "w"), {"m": bytes(1 << 17)})
    [entry] = rig.edge.read_replies()
    assert "oversized" in str(entry.reply)


def test_a_damaged_key_file_keeps_a_worker_from_starting(rig, tmp_path):
    (tmp_path / "keys").write_text("no key")
    with pytest.raises(SettingsError, match=r"cloud\.features_key_file"):
        rig.worker(StandIn(), CloudMetrics(), features_key_file=tmp_path / "keys")
