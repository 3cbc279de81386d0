"""Prometheus' own checker accepts the deployed configuration as it is, service discovery included."""

from __future__ import annotations

import subprocess

from tests.deploy.conftest import DEPLOY
from tests.deploy.promtool import promtool


def test_the_configuration_is_valid():
    command = [promtool(), "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr


def test_the_container_sees_the_rules_that_the_configuration_names(compose):
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["prometheus"]["volumes"])
    assert mounts["./deploy/prometheus/prometheus.yml"] == "/etc/prometheus/prometheus.yml"
    assert mounts["./deploy/prometheus/rules"] == "/etc/prometheus/rules"
    assert "rules/*.yml" in (DEPLOY / "prometheus" / "prometheus.yml").read_text()
