"""Metrics are for this machine alone unless the settings say otherwise."""

from __future__ import annotations

import socket

from services.metrics import CloudMetrics, MetricsServer
from services.servers import free_port
from services.settings import MetricsSettings, Settings


def reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_by_default_nothing_listens():
    with MetricsServer(Settings().metrics, CloudMetrics().registry) as server:
        assert server.port is None


def test_with_a_port_only_the_loopback_address_answers():
    """127.0.0.2 is this machine too, but another address: who listens on all of them answers there."""
    with MetricsServer(MetricsSettings(port=free_port()), CloudMetrics().registry) as server:
        assert server.port is not None
        assert reachable("127.0.0.1", server.port)
        assert not reachable("127.0.0.2", server.port)


def test_told_to_it_listens_elsewhere():
    with MetricsServer(MetricsSettings(host="0.0.0.0", port=free_port()), CloudMetrics().registry) as server:
        assert server.port is not None
        assert reachable("127.0.0.2", server.port)
