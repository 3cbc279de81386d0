"""The servers of demo and tests: ready when started, gone when stopped, back on the same port after a restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services import servers
from services.servers import Broker, RedisServer, ServerError, ServerMissingError, Servers
from tests.conftest import WaitFor

_HOLDER = """
import signal, sys, time
from services.servers import Servers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with SIGINT ignored
servers = Servers().start()
print(servers.mqtt.pid, servers.redis.pid, flush=True)
time.sleep(60)
"""


def _command(server: RedisServer, *words: str) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(4096)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has reaped yet no longer serves.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_redis_answers_once_started_and_is_gone_once_stopped(each_redis_server: RedisServer) -> None:
    assert _command(each_redis_server, "PING") == b"+PONG\r\n"
    each_redis_server.stop()
    with pytest.raises(ConnectionRefusedError):
        _command(each_redis_server, "PING")


def test_the_bundled_redis_is_the_oldest_supported_version(tmp_path: Path) -> None:
    with RedisServer(tmp_path, executable=servers.find_redis_server("bundled")) as server:
        assert b"redis_version:6.2" in _command(server, "INFO", "server")


@pytest.mark.parametrize("hard", [False, True])
def test_redis_keeps_port_and_data_over_a_restart(redis_server: RedisServer, hard: bool) -> None:
    port = redis_server.port
    _command(redis_server, "SET", "key", "value")
    redis_server.restart(hard=hard)
    assert redis_server.port == port
    assert _command(redis_server, "GET", "key") == b"$5\r\nvalue\r\n"


def test_a_wiping_restart_loses_the_data(redis_server: RedisServer) -> None:
    _command(redis_server, "SET", "key", "value")
    redis_server.restart(wipe=True)
    assert _command(redis_server, "GET", "key") == b"$-1\r\n"


def test_a_broker_answers_after_each_restart(each_mqtt_broker: Broker) -> None:
    port = each_mqtt_broker.port
    each_mqtt_broker.restart()
    each_mqtt_broker.restart(hard=True)
    assert each_mqtt_broker.running
    assert each_mqtt_broker.port == port


def test_both_servers_and_their_folder_are_gone_after_the_block() -> None:
    with Servers() as both:
        folder, pids = both.folder, [both.mqtt.pid, both.redis.pid]
        assert folder.is_dir()
    assert not folder.exists()
    assert not any(_alive(pid) for pid in pids if pid is not None)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell a child of its parent's death")
@pytest.mark.parametrize("fatal", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_servers_end_with_the_process_that_started_them(
    fatal: signal.Signals, wait_for: WaitFor, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # a killed process leaves its folder behind
    ) as holder:
        assert holder.stdout is not None
        pids = [int(word) for word in holder.stdout.readline().split()]
        assert len(pids) == 2
        assert all(_alive(pid) for pid in pids)
        holder.send_signal(fatal)
        holder.wait(20)
        wait_for(lambda: not any(_alive(pid) for pid in pids), "the servers end")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = RedisServer(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ServerError, match=r"(?s)ended while it started.*bind"):
            server.start()
    assert not server.running


def test_a_missing_server_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.servers.find._on_path", lambda *_, **__: None)
    with pytest.raises(ServerMissingError, match="mosquitto is not installed: sudo apt-get install mosquitto"):
        servers.find_mosquitto()
