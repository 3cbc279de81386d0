"""Replies: read from the start until they are deleted."""

from __future__ import annotations

import time
from typing import Any

from services.feature_stream import EdgeFeatures, ReplyEntry
from services.messages import MessageError
from tests.services.feature_stream.stream import STREAM, MakeCloud, answered, escalation


def test_replies_are_read_again_until_they_are_deleted(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    cloud = make_cloud()
    edge.escalate([escalation("a")])
    answered(cloud, cloud.read(10))
    assert edge.read_replies(block_ms=50) == edge.read_replies(block_ms=50)
    edge.delete_replies(edge.read_replies())
    assert edge.read_replies(block_ms=50) == []
    assert raw.xlen(STREAM.replies("s", "w")) == 0


def test_a_reply_that_cannot_be_decoded_is_told_and_can_be_deleted(edge: EdgeFeatures, raw: Any) -> None:
    raw.xadd(STREAM.replies("s", "w"), {"m": b"\xc1"})
    raw.xadd(STREAM.replies("s", "w"), {"other": b"x"})
    entries: list[ReplyEntry] = edge.read_replies()
    assert [type(entry.reply) for entry in entries] == [MessageError, MessageError]
    edge.delete_replies(entries)
    assert edge.read_replies() == []


def test_waiting_for_replies_ends_well_before_the_sockets_timeout(edge: EdgeFeatures) -> None:
    began = time.monotonic()
    assert edge.read_replies(block_ms=60_000) == []
    assert time.monotonic() - began < 1.9


def test_replies_that_their_edge_never_reads_come_to_an_end(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud, replies = make_cloud(), STREAM.replies("s", "w")
    edge.escalate([escalation("a"), escalation("b")])
    first, second = cloud.read(10)
    answered(cloud, [first])
    assert 6 * 86400 < raw.ttl(replies) <= 7 * 86400
    raw.expire(replies, 100)
    answered(cloud, [second])
    assert raw.ttl(replies) <= 100, "it is the edge that puts the end off"
    edge.register()
    assert raw.ttl(replies) > 100
    assert len(edge.read_replies()) == 2
