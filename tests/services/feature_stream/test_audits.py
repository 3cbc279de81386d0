"""The audit stream: bounded, taken at most once, gone with its network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.feature_stream import EdgeFeatures, StreamFullError
from services.messages import Audit, Escalation
from tests.services.feature_stream.stream import STREAM, MakeCloud, escalation

LONG_AGO = 1e9


def audits(*names: str) -> list[Escalation]:
    return [replace(escalation(name), audit=Audit(0, 0.25)) for name in names]


def test_an_audit_comes_as_it_was_sent_and_only_once(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    assert edge.audit(audits("a", "b", "c"), length_max=10) == [True] * 3
    assert cloud.audits(STREAM.network_id) == 3
    taken = cloud.take_audits(STREAM, 2)
    assert [Escalation.decode(one.payload or b"") for one in taken] == audits("a", "b")
    assert [Escalation.decode(one.payload or b"").id for one in make_cloud().take_audits(STREAM, 2)] == ["c"]
    assert cloud.take_audits(STREAM, 2) == []
    assert cloud.audits(STREAM.network_id) == 0
    assert raw.xlen(STREAM.features) == raw.hlen(STREAM.notes) == 0


def test_a_stream_that_is_long_enough_takes_no_more(edge: EdgeFeatures, raw: Any) -> None:
    assert edge.audit(audits("a", "b", "c"), length_max=2) == [True, True, False]
    assert edge.audit(audits("d"), length_max=2) == [False]
    assert edge.audit(audits("d"), length_max=3) == [True]


def test_a_full_redis_says_so(edge: EdgeFeatures, raw: Any) -> None:
    raw.config_set("maxmemory", 1)
    with pytest.raises(StreamFullError):
        edge.audit(audits("a"), length_max=2)


def test_an_entry_of_another_form_is_taken_too(make_cloud: MakeCloud, raw: Any) -> None:
    raw.xadd(STREAM.audit, {"other": "x"})
    assert [one.payload for one in make_cloud().take_audits(STREAM, 2)] == [None]
    assert raw.xlen(STREAM.audit) == 0


def test_the_stream_ends_where_nobody_adds_any_more(edge: EdgeFeatures, raw: Any) -> None:
    """Also one that no cloud worker serves."""
    edge.audit(audits("a"), length_max=2)
    assert 0 < raw.pttl(STREAM.audit) <= edge._kept_ms


def test_audits_keep_no_silent_network_and_go_with_it(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.register()
    edge.audit(audits("a"), length_max=2)
    raw.zadd("dewpoint:registry", {STREAM.name: LONG_AGO})
    assert cloud.forget_silent() == [STREAM]
    assert not raw.exists(STREAM.audit)


def test_audits_of_a_network_that_somebody_uses_stay(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    edge.register()
    edge.audit(audits("a"), length_max=2)
    assert make_cloud().forget_silent() == []
    assert raw.xlen(STREAM.audit) == 1
