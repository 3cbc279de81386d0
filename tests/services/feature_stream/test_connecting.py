"""Connecting: every way in which a network says nothing ends within the timeout, and heals by itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.feature_stream import EdgeFeatures, StreamUnavailableError
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.services.feature_stream.stream import B, escalation
from tests.services.mqtt.proxy import Proxy

TIMEOUT_S = 0.3
#: Wide: the machine may be busy. What hangs would hang for minutes, or for ever.
BOUND_S = 30.0

Connect = Callable[..., EdgeFeatures]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`connect(host, port)`: an edge that asks there."""
    with contextlib.ExitStack() as stack:

        def make(host: str, port: int) -> EdgeFeatures:
            settings = RedisSettings(host=host, port=port, timeout_s=TIMEOUT_S)
            features = EdgeFeatures(settings, network_id=B, site="s", worker="w")
            stack.callback(features.close)
            return features

        yield make


def unavailable(edge: EdgeFeatures) -> str:
    """What an edge says that cannot reach Redis; fails where that takes too long."""
    began = time.monotonic()
    with pytest.raises(StreamUnavailableError) as raised:
        edge.escalate([escalation("a")])
    assert time.monotonic() - began < BOUND_S
    return str(raised.value)


def test_a_name_that_is_not_there_is_told(connect: Connect) -> None:
    assert "redis.invalid" in unavailable(connect("redis.invalid", 6379))
    assert "a..b" in unavailable(connect("a..b", 6379))


def test_a_name_server_that_is_silent_is_not_waited_for(
    connect: Connect, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering, asked = threading.Event(), []
    look_up = socket.getaddrinfo

    def silent(host: Any, *others: Any, **named: Any) -> Any:
        if host == "redis.test" and not named.get("flags"):
            asked.append(host)
            answering.wait()
            host = "127.0.0.1"
        return look_up("127.0.0.1" if host == "redis.test" and not named.get("flags") else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    edge = connect("redis.test", redis_server.port)
    assert "redis.test is not resolved within 0.3 s" in unavailable(edge)
    unavailable(edge)
    assert len(asked) == 1, "one lookup waits, whoever asks"
    answering.set()
    for lookup in [thread for thread in threading.enumerate() if thread.name == "lookup"]:
        lookup.join(90)
    assert edge.escalate([escalation("a")]) == [True]


def test_a_connection_whose_other_end_is_gone_is_given_up_and_replaced(
    connect: Connect, redis_server: RedisServer
) -> None:
    with Proxy(redis_server.port) as proxy:
        edge = connect("127.0.0.1", proxy.port)
        assert edge.escalate([escalation("a")]) == [True]
        proxy.deaf = True
        unavailable(edge)
        unavailable(edge)
        proxy.deaf = False
        assert edge.escalate([escalation("a")]) == [False]


def test_a_host_that_takes_no_connection_is_given_up(connect: Connect) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = full.getsockname()[1]
        for _ in range(3):  # nobody accepts them: the next one gets no answer at all
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        unavailable(connect("127.0.0.1", port))
