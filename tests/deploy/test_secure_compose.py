"""deploy/secure.compose.yml holds together with what it mounts; it is read, not started."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings import load
from tests.deploy.conftest import DEPLOY, ROOT

OURS = ("edge", "cloud", "streamer")


@pytest.fixture(scope="session")
def secure() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "secure.compose.yml").read_text())
    return content


def secrets_of(secure: dict[str, Any], service: str) -> dict[str, str]:
    """Where each secret of a service lies in its container."""
    found = {}
    for secret in secure["services"][service]["secrets"]:
        name = secret if isinstance(secret, str) else secret["source"]
        found[name] = f"/run/secrets/{name}" if isinstance(secret, str) else secret["target"]
    return found


def test_it_is_what_the_compose_specification_describes(secure):
    jsonschema = pytest.importorskip("jsonschema", reason="pip install check-jsonschema")
    vendored = pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema").__file__
    schema = Path(vendored).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(secure, json.loads(schema.read_text()))


@pytest.mark.parametrize("service", OURS)
def test_a_worker_speaks_tls_under_a_name_with_secrets_that_it_has(secure, service, monkeypatch):
    for name in [name for name in os.environ if name.startswith("DEWPOINT_")]:
        monkeypatch.delenv(name)
    for name, value in secure["services"][service]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load()
    there = secrets_of(secure, service).values()
    for connection in {"edge": ("mqtt", "redis"), "cloud": ("redis",), "streamer": ("mqtt",)}[service]:
        section = getattr(settings, connection)
        assert section.tls.enabled
        assert section.username
        assert {str(section.tls.ca_file), str(section.password_file)} <= set(there)
    assert service == "cloud" or settings.mqtt.port == 8884


def test_names_are_those_of_the_access_lists(secure):
    redis_users = (DEPLOY / "redis" / "users.acl").read_text()
    mqtt_users = (DEPLOY / "mosquitto" / "workers.acl").read_text()
    for service in OURS:
        variables = secure["services"][service]["environment"]
        for variable, users in (("DEWPOINT_REDIS__USERNAME", redis_users), ("DEWPOINT_MQTT__USERNAME", mqtt_users)):
            if variable in variables:
                assert re.search(rf"^user {re.escape(variables[variable])}( |$)", users, flags=re.M), variable


@pytest.mark.parametrize(("service", "conf"), [("mosquitto", "mosquitto/secure.conf"), ("redis", "redis/secure.conf")])
def test_every_file_that_a_server_is_told_of_is_mounted(secure, compose, service, conf):
    mounts = secure["services"][service]["volumes"] + compose["services"][service]["volumes"]
    there = {mount.split(":")[1] for mount in mounts} | set(secrets_of(secure, service).values())
    text = (DEPLOY / conf).read_text()
    named = re.findall(r"^(?:certfile|keyfile|password_file|acl_file|include|tls-\S+-file|aclfile) (\S+)$", text, re.M)
    assert len(named) >= 5
    assert set(named) <= there


def test_every_secret_is_a_file_that_is_declared_and_used_and_not_in_the_repository(secure):
    declared = secure["secrets"]
    used = {name for service in secure["services"] for name in secrets_of(secure, service)}
    assert used == set(declared)
    for name, secret in declared.items():
        assert secret == {"file": f"./secrets/{name}"}
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_mounted_files_exist_and_cannot_be_written(secure):
    for service in secure["services"].values():
        for mount in service.get("volumes", []):
            assert (ROOT / mount.partition(":")[0]).is_file(), mount
            assert mount.endswith(":ro"), mount


def test_no_secret_stands_in_the_file(secure):
    for service in secure["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE"), name
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
