"""Audits in the cloud: counted when no hard sample waits, never answered, dropped where they are of no use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from numpy.typing import NDArray

from services.feature_stream import EdgeFeatures
from services.messages import Audit, Escalation
from services.metrics import CloudMetrics
from services.security.feature_keys import FeatureKeys
from tests.services.cloud.rig import STREAM, Rig, value
from tests.services.cloud.stand_in import FINE, MANIFEST, NOT_FINITE, POISON, B, StandIn, escalation

assert MANIFEST.calibration is not None
PATH = MANIFEST.calibration.path


def audit(sample_id: str, *, cloud: int = 1, edge: int = 1, score: float = 0.01, **more: Any) -> Escalation:
    """A confident sample: the cloud will say `cloud`, the exit where it left said `edge`."""
    share = more.pop("share", 0.5)
    one = escalation(sample_id, more.pop("kind", FINE), cloud, device=more.pop("device", "d"))
    return replace(one, exits=((edge, score),), audit=Audit(0, share), **more)


def send_audits(rig: Rig, *audits: Escalation, keys: FeatureKeys | None = None) -> None:
    edge = EdgeFeatures(rig.settings, network_id=B, site="s", worker="w", keys=keys)
    edge.register()
    assert all(edge.audit(audits, length_max=1000))
    edge.close()


def audited(metrics: CloudMetrics, device: str = "d", site: str = "s") -> tuple[float, float]:
    """(audited, disagreed) of a device."""
    labels = {"network": B, "site": site, "device": device, "exit": "0"}
    return value(metrics, "audited_total", **labels), value(metrics, "disagreed_total", **labels)


def test_audits_are_counted_by_what_the_cloud_says_and_nobody_is_answered(rig: Rig) -> None:
    send_audits(rig, *(audit(str(number), edge=1 if number < 15 else 2, cloud=1) for number in range(20)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: audited(metrics) == (20, 5), "all are counted")
        rig.wait_for(lambda: value(metrics, "audit_queue_depth", network=B) == 0, "the queue is seen empty")
    assert rig.raw.xlen(STREAM.audit) == 0
    assert rig.edge.read_replies() == []
    assert rig.dead() == []
    assert value(metrics, "answered_total", network=B, outcome="label") == 0
    assert value(metrics, "entries_read_total", network=B) == 0
    assert value(metrics, "energy_joules_total") == 0, "told apart from what hard samples take"
    assert value(metrics, "audit_energy_joules_total") > 0


def test_an_audited_device_shows_no_disagreement_as_nought(rig: Rig) -> None:
    send_audits(rig, audit("a"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: audited(metrics)[0] == 1, "it is counted")
    labels = {"network": B, "site": "s", "device": "d", "exit": "0"}
    assert metrics.registry.get_sample_value("dewpoint_cloud_disagreed_total", labels) == 0.0


class Ordered(StandIn):
    """Notes of each batch whether it was of hard samples (class 1), or of audits (class 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []

    def infer(self, features: Sequence[bytes], /) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        [kind] = {packed[1] for packed in features}
        self.order.append(kind)
        return super().infer(features)


def test_hard_samples_go_first(rig: Rig) -> None:
    send_audits(rig, *(audit(f"a{number}", cloud=2) for number in range(20)))
    rig.send(*(escalation(f"h{number}", FINE, 1) for number in range(40)))
    metrics, network = CloudMetrics(), Ordered()
    with rig.working(network, metrics, batch_max=8):
        rig.wait_for(lambda: audited(metrics)[0] == 20, "the audits are counted")
    assert network.order == [1] * 5 + [2] * 3
    assert max(network.batches) == 8


def test_a_hard_sample_waits_for_at_most_one_small_batch_of_audits(rig: Rig) -> None:
    network = Ordered()
    network.release.clear()
    send_audits(rig, *(audit(f"a{number}", cloud=2) for number in range(50)))
    with rig.working(network):
        assert network.entered.wait(90)
        rig.send(escalation("hard", FINE, 1))
        network.release.set()
        rig.replies(1)
    assert network.order[:2] == [2, 1]
    assert network.batches[0] == 8


def test_audits_are_not_starved_by_a_trickle_of_hard_samples(rig: Rig) -> None:
    """Each read finds one, and still the worker has time."""
    send_audits(rig, *(audit(f"a{number}") for number in range(20)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        for number in range(500):
            rig.send(escalation(f"h{number}"))
            if audited(metrics)[0] == 20:
                break
    assert audited(metrics)[0] == 20


def test_what_is_of_no_use_is_counted_and_dropped_and_stops_nobody(rig: Rig) -> None:
    plain = replace(audit("x"), audit=None)
    entries = {
        "not_msgpack": b"\xc1",
        "bad_field": msgpack.packb(msgpack.unpackb(audit("x").encode()) | {"audit": {"exit": 0, "share": 1e-9}}),
        "no_audit": plain.encode(),
        "bad_exit": replace(plain, audit=Audit(1, 0.5)).encode(),
        "wrong_network": audit("x", network_id="000000000000").encode(),
        "wrong_features": audit("x", features=b"short").encode(),
        "locked": audit("x", key="0badc0de").encode(),
    }
    send_audits(rig, audit("first"))
    for payload in entries.values():
        rig.raw.xadd(STREAM.audit, {"m": payload})
    rig.raw.xadd(STREAM.audit, {"other": b"form"})
    send_audits(rig, audit("poison", kind=POISON), audit("nan", kind=NOT_FINITE), audit("last"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics) as worker:
        rig.wait_for(lambda: audited(metrics)[0] == 2, "the good ones are counted")
        rig.send(escalation("hard"))
        rig.replies(1)
        assert worker.ready
    drops = {reason: value(metrics, "audit_drops_total", reason=reason) for reason in entries}
    assert drops == dict.fromkeys(entries, 1)
    assert value(metrics, "audit_drops_total", reason="missing_field") == 1, "the entry of another form"
    assert value(metrics, "audit_drops_total", reason="broken") == 2
    assert rig.raw.xlen(STREAM.audit) == 0
    assert rig.dead() == []
    assert value(metrics, "drops_total", reason="not_msgpack") == 0


def test_encrypted_audits_are_read_with_the_key(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(os.urandom(32).hex())
    path.chmod(0o600)
    send_audits(rig, audit("a", edge=2), keys=FeatureKeys(path, setting="edge.features_key_file"))
    [(_, fields)] = rig.raw.xrange(STREAM.audit)
    assert audit("a").features not in fields[b"m"]
    send_audits(rig, audit("plain"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, features_key_file=path, encrypted_only=True):
        rig.wait_for(lambda: audited(metrics) == (1, 1), "it is counted")
        rig.wait_for(lambda: value(metrics, "audit_drops_total", reason="not_encrypted") == 1, "the plain one is not")


def test_sites_and_devices_are_bounded(rig: Rig) -> None:
    """Their names were made up elsewhere; one name at two sites is two devices."""
    sites = (("s1", "a"), ("s2", "a"), ("s3", "b"), ("s1", "a"))
    send_audits(rig, *(audit(str(n), site=site, device=device) for n, (site, device) in enumerate(sites)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics, devices_max=2):
        rig.wait_for(lambda: audited(metrics, "other", "s3")[0] == 1, "the last device")
    assert audited(metrics, "a", "s1")[0] == 2
    assert audited(metrics, "a", "s2")[0] == 1
    assert audited(metrics, "b", "s3")[0] == 0


def test_hard_samples_and_audits_weigh_what_they_stand_for_along_the_path(rig: Rig) -> None:
    score = float(np.mean([PATH[20].thresholds[0], PATH[21].thresholds[0]]))
    rig.send(*(replace(escalation(f"h{n}", FINE, 3), exits=((3 if n < 4 else 5, score),)) for n in range(10)))
    send_audits(rig, *(audit(f"a{n}", edge=1, cloud=1 if n else 2, score=0.0, share=0.25) for n in range(5)))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: audited(metrics) == (5, 1), "the audits are counted")

    def weights(point: int) -> tuple[float, float]:
        labels = {"network": B, "point": str(point)}
        kinds = ("left", "agreed")
        return tuple(value(metrics, f"what_if_{kind}_weight_total", **labels) for kind in kinds)  # type: ignore[return-value]

    assert value(metrics, "what_if_weight_total", network=B) == 10 + 5 / 0.25
    assert weights(0) == (0, 0), "nobody leaves where the path begins"
    assert weights(20) == (20, 16), "those that left; a fifth of them disagrees"
    assert weights(21) == (30, 20), "with the hard ones, four of which the cloud says the same of"


def test_what_the_guard_holds_back_would_rise_at_every_point_of_the_path(rig: Rig) -> None:
    rig.send(*(replace(escalation(f"h{n}", FINE, 3), exits=((3, 0.0),), guarded=n == 0) for n in range(4)))
    metrics, last = CloudMetrics(), str(len(PATH) - 1)
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: value(metrics, "what_if_weight_total", network=B) == 4, "all of them")
    assert value(metrics, "what_if_left_weight_total", network=B, point=last) == 3
    assert value(metrics, "what_if_agreed_weight_total", network=B, point=last) == 3


def test_where_the_user_may_not_read_audits_hard_samples_are_answered(rig: Rig) -> None:
    """As with the ACL of an earlier version."""
    send_audits(rig, audit("a"))
    kinds = ("features", "notes", "runs", "dead*", "unread", "replies*")
    rig.raw.execute_command("ACL", "SETUSER", "default", "resetkeys", "~dewpoint:registry",
                            *(f"~dewpoint:*:{kind}" for kind in kinds))  # fmt: skip
    with rig.working() as worker:
        rig.wait_for(lambda: worker.ready, "the worker is ready")
        rig.send(escalation("hard"))
        rig.replies(1)


@pytest.mark.parametrize("broken", ["_run", "_readable"])
def test_what_goes_wrong_with_audits_stops_no_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(f"services.cloud.audit.Auditor.{broken}", fail)
    send_audits(rig, audit("a"))
    metrics = CloudMetrics()
    with rig.working(metrics=metrics):
        rig.wait_for(lambda: value(metrics, "audit_drops_total", reason="failed") == 1, "it is dropped")
        rig.send(escalation("hard"))
        rig.replies(1)
