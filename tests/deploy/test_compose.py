"""docker-compose.yml holds together: settings that exist, files that exist, health, restarts, loopback ports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings import load
from tests.deploy.conftest import DEPLOY, ROOT
from tests.deploy.dockerfiles import Dockerfile

OURS = ("edge", "cloud", "streamer")


def test_it_is_what_the_compose_specification_describes(compose):
    jsonschema = pytest.importorskip("jsonschema", reason="pip install check-jsonschema")
    vendored = pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema").__file__
    schema = Path(vendored).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text()))


@pytest.mark.parametrize("service", OURS)
def test_a_worker_starts_with_settings_that_exist_and_fit(compose, service, monkeypatch):
    variables = environment(compose, service)
    for name in [name for name in os.environ if name.startswith("DEWPOINT_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    settings = load()

    for name in variables:
        if name.startswith("DEWPOINT_"):
            setting: Any = settings
            for part in name.removeprefix("DEWPOINT_").lower().split("__"):
                setting = getattr(setting, part)  # raises where there is no such setting


def test_the_streamers_command_is_one_that_it_knows(compose):
    command = [sys.executable, "-m", "services.cli", "stream", *compose["services"]["streamer"]["command"], "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_workers_find_the_brokers_by_their_names_and_default_ports(compose, monkeypatch):
    for service in OURS:
        for name, value in environment(compose, service).items():
            monkeypatch.setenv(name, value)
        settings = load()
        if service != "cloud":
            assert settings.mqtt.host in compose["services"]
            assert settings.mqtt.port == 1883
        if service != "streamer":
            assert settings.redis.host in compose["services"]
            assert settings.redis.port == 6379


def test_edge_and_cloud_are_scraped_where_they_listen(compose):
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    for job in scraped:
        [discovery] = job["dns_sd_configs"]
        [service] = discovery["names"]
        assert job["job_name"] == service
        variables = environment(compose, service)
        assert variables["DEWPOINT_METRICS__PORT"] == str(discovery["port"])
        assert variables["DEWPOINT_METRICS__HOST"] == "0.0.0.0"
    assert {job["job_name"] for job in scraped} == {"edge", "cloud"}


def test_every_mounted_file_and_folder_exists(compose):
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert mount.endswith(":ro"), f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


def test_what_must_not_be_lost_lies_on_volumes(compose):
    mounted = {name: service.get("volumes", []) for name, service in compose["services"].items()}
    assert "edge-spool:" + environment(compose, "edge")["DEWPOINT_EDGE__SPOOL"] in mounted["edge"]
    assert "redis-data:/data" in mounted["redis"]
    location = re.search(r"^persistence_location (.*)/$", (DEPLOY / "mosquitto" / "mosquitto.conf").read_text(), re.M)
    assert location is not None
    assert f"mosquitto-data:{location[1]}" in mounted["mosquitto"]


def test_every_volume_is_used(compose):
    used = {mount.partition(":")[0] for service in compose["services"].values() for mount in service.get("volumes", [])}
    assert set(compose["volumes"]) <= used


def test_ports_are_published_on_the_loopback_address_only(compose):
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_every_service_restarts_and_tells_its_health(compose):
    for name, service in compose["services"].items():
        assert service["restart"] == "unless-stopped", name
        image = Dockerfile.of(compose, name)
        assert "healthcheck" in service or (image is not None and image.has("HEALTHCHECK")), name


def test_nothing_waits_for_a_service_that_is_not_there(compose):
    for service in compose["services"].values():
        for needed, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert needed in compose["services"]


def test_two_cloud_workers_run(compose):
    assert compose["services"]["cloud"]["deploy"]["replicas"] == 2


def test_images_are_of_a_stated_version(compose):
    for name, service in compose["services"].items():
        if "image" in service:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_every_container_runs_without_privileges(compose):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "pid", "network_mode", "ipc"} & service.keys(), name
        assert not any("docker.sock" in mount for mount in service.get("volumes", [])), name


def test_no_container_runs_as_root(compose):
    for name, service in compose["services"].items():
        image = Dockerfile.of(compose, name)
        users = [rest for instruction, rest in image.last_stage if instruction == "USER"] if image else []
        user = str(service.get("user", users[-1] if users else "root"))
        assert user.partition(":")[0] not in ("root", "0"), name


def test_what_is_writable_is_a_volume_or_in_memory(compose):
    for name, service in compose["services"].items():
        assert service["tmpfs"] == ["/tmp"], name


def environment(compose: dict[str, Any], service: str) -> dict[str, str]:
    """What the container's process sees: the image's variables, then the service's, with defaults of `${A:-B}`."""
    image = Dockerfile.of(compose, service)
    variables = dict(image.environment if image is not None else {})
    variables |= {
        name: re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
        for name, value in compose["services"][service].get("environment", {}).items()
    }
    return {name: value for name, value in variables.items() if name.startswith("DEWPOINT_")}
