"""Mosquitto and Redis as a test wants them: with the lines of configuration that it gives."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.servers import MosquittoBroker, RedisServer
from tests.security.certificates import Authority, Pair


@dataclass(frozen=True)
class Door:
    """How a server speaks TLS: what it shows, and whether it asks for a certificate in return."""

    authority: Authority
    shows: Pair
    mutual: bool = False
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


@contextmanager
def encrypted(connection: socket.socket, door: Door | None) -> Iterator[socket.socket]:
    """The probe's connection, in TLS where the server speaks it. What is shown is checked elsewhere."""
    if door is None:
        yield connection
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with_name = door.authority.sign("probe")
    context.load_cert_chain(with_name.cert, with_name.key)
    with context.wrap_socket(connection) as wrapped:
        yield wrapped


class Mosquitto(MosquittoBroker):
    """Mosquitto with a configuration of the test's own; `{port}`, `{host}` and `{data}` are filled in."""

    def __init__(self, folder: Path, configuration: Sequence[str], door: Door | None = None) -> None:
        super().__init__(folder)
        self._configuration, self._door = configuration, door

    def _command(self) -> list[str]:
        lines = [line.format(port=self.port, host=self.host, data=self._data_folder) for line in self._configuration]
        if os.geteuid() == 0:
            lines.append("user root")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [str(self.executable), "-c", str(config)]

    def _probe(self, connection: socket.socket) -> bool:
        body = b"\x00\x04MQTT\x04\x02\x00\x0a\x00\x05probe"
        with encrypted(connection, self._door) as speaking:
            speaking.sendall(bytes([0x10, len(body)]) + body)
            return speaking.recv(4)[:1] == b"\x20"  # let in or not: it answers


def tls_lines(door: Door) -> list[str]:
    """A listener that speaks TLS."""
    lines = [
        "listener {port} {host}",
        f"certfile {door.shows.cert}",
        f"keyfile {door.shows.key}",
    ]
    if door.mutual:
        lines += [f"cafile {door.authority.ca_file}", "require_certificate true"]
    return lines


def password_file(folder: Path, secrets: dict[str, str]) -> Path:
    """What `mosquitto_passwd` makes of names and passwords."""
    path = folder / "passwords"
    path.write_text("".join(f"{name}:{secret}\n" for name, secret in secrets.items()))
    path.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)
    return path


class Redis(RedisServer):
    """redis-server with options of the test's own, over those of `RedisServer`."""

    def __init__(
        self, folder: Path, options: Sequence[str] = (), *, executable: Path | None = None, door: Door | None = None
    ) -> None:
        super().__init__(folder, executable=executable)
        self._options, self._door = list(options), door

    def _command(self) -> list[str]:
        command = super()._command() + self._options
        if self._door is not None:
            shows, ca_file = self._door.shows, self._door.authority.ca_file
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients"]
            command += ["yes" if self._door.mutual else "no", "--tls-ca-cert-file", str(ca_file)]
            command += ["--tls-cert-file", str(shows.cert), "--tls-key-file", str(shows.key)]
        return command

    def _probe(self, connection: socket.socket) -> bool:
        with encrypted(connection, self._door) as speaking:
            speaking.sendall(b"PING\r\n")
            return speaking.recv(64).startswith((b"+PONG", b"-NOAUTH"))
