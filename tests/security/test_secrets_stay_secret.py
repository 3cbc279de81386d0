"""What every command writes at its most talkative, and its command line, hold no secret: let in or refused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app as cli
from services.cloud.__main__ import app as cloud
from services.edge.__main__ import app as edge
from tests.conftest import WaitFor
from tests.security.certificates import HOST
from tests.security.redis_users import filled
from tests.security.redis_users import password as redis_password
from tests.security.servers import Mosquitto, Redis, password_file

TIMEOUT_S = 150
MQTT_SECRET, FEATURES_KEY = "mqtt-5ecret", "5ec2e7" * 10 + "0000"
WRONG = "a-wr0ng-gue55"
SECRETS = (MQTT_SECRET, redis_password("edge-1"), redis_password("cloud"), FEATURES_KEY, WRONG)

pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, mosquitto: Path, system_redis: Path
) -> Iterator[tuple[Mosquitto, Redis]]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "broker").mkdir()
    passwords = password_file(folder / "broker", {"edge-1": MQTT_SECRET})
    lines = ["listener {port} {host}", "allow_anonymous false", f"password_file {passwords}"]
    acl = filled("users.acl", folder / "users.acl")
    broker = Mosquitto(folder / "broker", lines)
    with broker, Redis(folder / "redis", ["--aclfile", str(acl)], executable=system_redis) as redis:
        yield broker, redis


def config(folder: Path, servers: tuple[Mosquitto, Redis], *, user: str, wrong: tuple[str, ...] = ()) -> Path:
    broker, redis = servers
    secrets = {"mqtt": MQTT_SECRET, "redis": redis_password(user), "keys": FEATURES_KEY}
    paths = {name: folder / f"{name}.secret" for name in secrets}
    for name, path in paths.items():
        path.write_text(WRONG if name in wrong else secrets[name])
        path.chmod(0o644)  # the warning is to name the file, not what is in it
    path = folder / "dewpoint.toml"
    path.write_text(
        f"""
[mqtt]
host = "{HOST}"
port = {broker.port}
username = "edge-1"
password_file = "{paths["mqtt"]}"
connect_timeout_s = 30
[redis]
host = "{HOST}"
port = {redis.port}
username = "{user}"
password_file = "{paths["redis"]}"
timeout_s = 30
[edge]
worker = "edge-1"
spool = "{folder / "spool"}"
features_key_file = "{paths["keys"]}"
[cloud]
bundles = ["digits"]
features_key_file = "{paths["keys"]}"
[log]
level = "debug"
"""
    )
    return path


def start(module: str, *arguments: str, config: Path) -> subprocess.Popen[str]:
    with (config.parent / "out").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "DEWPOINT_CONFIG": str(config), "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )


def told(config: Path) -> str:
    return (config.parent / "out").read_text()


def no_secret_in(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text


@pytest.mark.parametrize(
    ("module", "user", "wrong", "sign"),
    [
        ("services.edge", "edge-1", (), "edge_started"),
        ("services.edge", "edge-1", ("redis",), "redis_unreachable"),
        ("services.cloud", "cloud", (), "redis_reachable"),
    ],
    ids=["edge", "edge-refused-by-redis", "cloud"],
)
def test_a_worker_at_work(servers, tmp_path, wait_for: WaitFor, module, user, wrong, sign):
    file = config(tmp_path, servers, user=user, wrong=wrong)
    process = start(module, config=file)
    try:

        def at_work() -> bool:
            assert process.poll() is None, told(file)
            return sign in told(file)

        wait_for(at_work, "the worker is at work", timeout_s=TIMEOUT_S)
        for what in ("cmdline", "environ"):
            no_secret_in(Path(f"/proc/{process.pid}/{what}").read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
    assert f"secret_file_open_to_all component=settings file={tmp_path / 'redis.secret'}" in told(file)
    no_secret_in(told(file))


@pytest.mark.parametrize(
    ("module", "arguments", "user"),
    [
        ("services.edge", (), "edge-1"),
        ("services.cloud", (), "cloud"),
        ("services.cli", ("stream", "dataset", "digits", "--frames", "2"), "edge-1"),
        ("services.cli", ("doctor",), "edge-1"),
        ("services.cli", ("dead", "list"), "edge-1"),
    ],
    ids=["edge", "cloud", "stream", "doctor", "dead"],
)
def test_who_is_refused(servers, tmp_path, module, arguments, user):
    file = config(tmp_path, servers, user=user, wrong=("mqtt", "redis"))
    process = start(module, *arguments, config=file)
    assert process.wait(TIMEOUT_S) == 2, told(file)
    assert "password_file" in told(file)
    assert "Traceback" not in told(file)
    no_secret_in(told(file))


@pytest.mark.parametrize(
    "arguments", [("stream", "dataset", "digits", "--frames", "2"), ("doctor",)], ids=["stream", "doctor"]
)
def test_a_command_that_is_let_in(servers, tmp_path, arguments):
    file = config(tmp_path, servers, user="edge-1")
    process = start("services.cli", *arguments, config=file)
    assert process.wait(TIMEOUT_S) == 0, told(file)
    no_secret_in(told(file))


@pytest.mark.parametrize(
    ("app", "command"), [(edge, []), (cloud, []), *((cli, [name]) for name in ("stream", "doctor", "demo"))]
)
def test_no_option_takes_a_secret(app, command):
    """A command line is there for everybody on the machine to read."""
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert not re.search("password|secret", shown.output, flags=re.IGNORECASE)
