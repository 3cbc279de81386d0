"""`dewpoint doctor` tells what is open: plain text, files that everybody may read, servers that let anyone in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli import doctor
from services.cli.doctor import Finding
from tests.security.certificates import HOST
from tests.security.redis_users import filled
from tests.security.redis_users import password as redis_password
from tests.security.servers import Mosquitto, Redis, password_file


@pytest.fixture
def secured(tmp_path: Path, mosquitto: Path, system_redis: Path) -> Iterator[dict[str, Any]]:
    """Settings for servers that ask for a name, with files that are closed to others."""
    (tmp_path / "broker").mkdir()
    passwords = password_file(tmp_path / "broker", {"edge-1": "s3cret"})
    lines = ["listener {port} {host}", "allow_anonymous false", f"password_file {passwords}"]
    acl = filled("users.acl", tmp_path / "users.acl")
    secrets = {"mqtt": "s3cret", "redis": redis_password("edge-1"), "keys": os.urandom(32).hex()}
    paths = {}
    for name, secret in secrets.items():
        paths[name] = tmp_path / f"{name}.secret"
        paths[name].write_text(secret)
        paths[name].chmod(0o600)
    broker = Mosquitto(tmp_path / "broker", lines)
    redis = Redis(tmp_path / "redis", ["--aclfile", str(acl)], executable=system_redis)
    with broker, redis:
        yield {
            "mqtt": {"host": HOST, "port": broker.port, "username": "edge-1", "password_file": str(paths["mqtt"])},
            "redis": {"host": HOST, "port": redis.port, "username": "edge-1", "password_file": str(paths["redis"])},
            "edge": {"spool": str(tmp_path / "spool"), "features_key_file": str(paths["keys"])},
        }


def findings_of(folder: Path, sections: dict[str, dict[str, Any]]) -> list[Finding]:
    lines: list[str] = []
    for name, entries in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items())]
    config = folder / "dewpoint.toml"
    config.write_text("\n".join(lines))
    return doctor.examine(config)


def examined(folder: Path, sections: dict[str, dict[str, Any]]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings_of(folder, sections)}


def test_of_a_closed_set_up_nothing_is_told(tmp_path, secured):
    found = examined(tmp_path, secured)
    assert found["MQTT broker"].state == "good"
    assert found["Redis"].state in ("good", "note")  # an edge's user may not ask Redis for its version
    assert found["edge.features_key_file"].state == "good"
    told = {"MQTT access", "Redis access", "mqtt.tls", "redis.tls", "mqtt.password_file", "redis.password_file"}
    assert not told & found.keys()


@pytest.mark.parametrize("setting", ["mqtt.password_file", "redis.password_file", "edge.features_key_file"])
def test_a_file_that_everybody_may_read_is_told_with_the_remedy(tmp_path, secured, setting):
    section, _, key = setting.partition(".")
    path = Path(secured[section][key])
    path.chmod(0o644)
    found = findings_of(tmp_path, secured)
    [note] = [one for one in found if one.subject == setting and one.state == "note"]
    assert "0644" in note.detail
    assert note.remedy == f"chmod o= {path}"


def test_servers_that_let_anyone_in_are_told(tmp_path, mosquitto, system_redis):
    broker = Mosquitto(tmp_path / "broker", ["listener {port} {host}", "allow_anonymous true"])
    redis = Redis(tmp_path / "redis", executable=system_redis)
    with broker, redis:
        found = examined(
            tmp_path,
            {
                "mqtt": {"host": HOST, "port": broker.port},
                "redis": {"host": HOST, "port": redis.port},
                "edge": {"spool": str(tmp_path / "spool")},
            },
        )
    assert found["MQTT access"].state == found["Redis access"].state == "note"
    assert "lets anyone in" in found["MQTT access"].detail
    assert "docs/how-to/security.md" in found["Redis access"].remedy


def test_plain_text_to_another_machine_is_told(tmp_path):
    away = {"host": "broker.invalid", "port": 1}
    findings = examined(
        tmp_path,
        {
            "mqtt": {**away, "connect_timeout_s": 1, "username": "edge-1", "password_file": "/none"},
            "redis": {**away, "timeout_s": 1},
            "edge": {"spool": str(tmp_path / "spool"), "inputs_kept": 10},
            "metrics": {"host": "0.0.0.0", "port": 9464},
            "traces": {"enabled": True, "share": 0.25, "endpoint": "http://collector:4318"},
        },
    )
    assert findings["mqtt.tls"].detail == "broker.invalid:1 is spoken to in plain text; the password too"
    assert findings["redis.tls"].detail == "broker.invalid:1 is spoken to in plain text"
    assert "shows device names and the last inputs to whoever reaches it" in findings["metrics"].detail
    assert findings["traces"].detail == "25% of the samples, to http://collector:4318"


def test_a_key_file_without_a_key_is_wrong(tmp_path, secured):
    Path(secured["edge"]["features_key_file"]).write_text("no key")
    found = examined(tmp_path, secured)
    assert found["edge.features_key_file"].state == "wrong"
    assert "no key" not in found["edge.features_key_file"].detail
