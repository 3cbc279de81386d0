"""The registry: what is in use, and what is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from services.feature_stream import EdgeFeatures, Stream
from tests.services.feature_stream.stream import STREAM, MakeCloud, answered, escalation

LONG_AGO = 1e9


def test_edges_enter_their_streams_and_those_that_rows_still_wait_for(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    raw.zadd("dewpoint:registry", {"not a stream": LONG_AGO})
    edge.register([("ba9876543210", 2)])
    older = {Stream("ba9876543210", 0), Stream("ba9876543210", 1)}
    assert make_cloud(streams=()).registered() == {STREAM} | older


def test_a_silent_stream_in_which_nothing_is_left_is_forgotten(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation("a")])
    answered(cloud, cloud.read(10))
    assert cloud.forget_silent() == []
    raw.zadd("dewpoint:registry", {STREAM.name: LONG_AGO})
    assert cloud.forget_silent() == [STREAM]
    assert cloud.streams == ()
    assert raw.keys() == [STREAM.replies("s", "w").encode()], "replies have an end of their own"
    edge.register()
    assert cloud.registered() == {STREAM}


@pytest.mark.parametrize("what", ["an entry", "a lease", "a dead letter"])
def test_a_silent_stream_with_something_in_it_stays(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any, what: str
) -> None:
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation("a")])
    deliveries = cloud.read(10) if what != "an entry" else []
    if what == "a dead letter":
        cloud.dead_letter(deliveries[0], "error")
    raw.zadd("dewpoint:registry", {STREAM.name: LONG_AGO})
    assert cloud.forget_silent() == []
    assert cloud.registered() == {STREAM}
    assert cloud.streams == (STREAM,)


def test_a_wiped_registry_takes_no_stream_along_in_which_something_waits(
    edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any
) -> None:
    cloud = make_cloud()
    edge.register()
    edge.escalate([escalation("a")])
    raw.delete("dewpoint:registry")
    assert cloud.forget_silent() == []
    assert len(cloud.read(10)) == 1


def test_a_full_redis_is_told_which_streams_are_in_use(edge: EdgeFeatures, make_cloud: MakeCloud, raw: Any) -> None:
    raw.config_set("maxmemory", 1)
    edge.register()
    assert make_cloud(streams=()).registered() == {STREAM}
