"""Redis, one edge and any number of cloud workers: once with the oldest supported version, once with the system's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from services.feature_stream import CloudFeatures, EdgeFeatures, Stream
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.services.feature_stream.stream import LEASE_S, RUNS, STREAM, B, MakeCloud


@pytest.fixture
def server(each_redis_server: RedisServer) -> RedisServer:
    return each_redis_server


@pytest.fixture
def settings(server: RedisServer) -> RedisSettings:
    return RedisSettings(host=server.host, port=server.port, timeout_s=2.0)


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Any]:
    """What lies in Redis, seen without our code."""
    with redis.Redis(server.host, server.port, protocol=2) as client:
        yield client


@pytest.fixture
def edge(settings: RedisSettings) -> Iterator[EdgeFeatures]:
    features = EdgeFeatures(settings, network_id=B, partitions=1, site="s", worker="w")
    yield features
    features.close()


@pytest.fixture
def make_cloud(settings: RedisSettings) -> Iterator[MakeCloud]:
    made: list[CloudFeatures] = []

    def make(lease_s: float = LEASE_S, streams: tuple[Stream, ...] = (STREAM,), **chosen: int) -> CloudFeatures:
        features = CloudFeatures(settings, consumer=f"c-{uuid.uuid4()}", lease_s=lease_s, max_deliveries=RUNS, **chosen)
        made.append(features)
        features.serve(streams)
        return features

    yield make
    for features in made:
        features.close()
