"""The containers' health check, against the real metrics server."""

from __future__ import annotations

import os
import subprocess
import sys

from services.metrics import CloudMetrics, MetricsServer
from services.servers import free_port
from services.settings import MetricsSettings
from tests.deploy.conftest import DEPLOY


def check(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEPLOY / "healthcheck.py")],
        env={**os.environ, "DEWPOINT_METRICS__PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_ready_worker_is_healthy():
    with MetricsServer(MetricsSettings(port=free_port()), CloudMetrics().registry) as server:
        assert server.port is not None
        assert check(server.port).returncode == 0


def test_a_worker_that_is_not_ready_is_unhealthy():
    with MetricsServer(MetricsSettings(port=free_port()), CloudMetrics().registry, ready=lambda: False) as server:
        assert server.port is not None
        result = check(server.port)
    assert result.returncode == 1
    assert "503" in result.stderr


def test_a_worker_that_does_not_answer_is_unhealthy_in_one_line():
    result = check(free_port())
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
