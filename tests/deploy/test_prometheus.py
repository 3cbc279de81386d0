"""Prometheus' own checker accepts the deployed configuration as it is, service discovery included."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from services.servers import ServerMissing
from tests.conftest import require_server
from tests.deploy.conftest import DEPLOY
from tests.deploy.prometheus import Prometheus


def promtool() -> Path:
    found = shutil.which("promtool")
    if found is None:
        raise ServerMissing("promtool is not installed: sudo apt-get install prometheus")
    return Path(found)


def test_the_configuration_is_valid():
    require_server(lambda: Prometheus(Path(), {}))  # skips or fails where there is no Prometheus
    command = [str(promtool()), "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
