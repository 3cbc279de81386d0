"""A Redis of one's own."""

from __future__ import annotations

import socket
from pathlib import Path

from services.servers.find import find_redis_server
from services.servers.server import Server

__all__ = ["RedisServer"]


class RedisServer(Server):
    """A redis-server that appends to a file, so that a killed one comes back with its data.

    Args:
        folder: Where data and log lie.
        port: Fixed port, or None for a free one.
        executable: The redis-server to run; None for any that is found.
        maxmemory_bytes: Redis refuses writes beyond it (policy ``noeviction``).
    """

    name = "redis-server"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        executable: Path | None = None,
        maxmemory_bytes: int = 1 << 30,
    ) -> None:
        super().__init__(folder, port=port, executable=executable)
        self.maxmemory_bytes = maxmemory_bytes

    @property
    def url(self) -> str:
        """``redis://host:port/0``."""
        return f"redis://{self.address}/0"

    @classmethod
    def find(cls) -> Path:
        """Where the executable lies. Raises ServerMissingError."""
        return find_redis_server()

    def _command(self) -> list[str]:
        # Without fsync every write reaches the kernel before its reply, so that SIGKILL loses nothing; with "everysec"
        # Redis holds writes back while a sync runs.
        options = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self._data_folder),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "no",
            "maxmemory": str(self.maxmemory_bytes),
            "maxmemory-policy": "noeviction",
        }
        return [str(self.executable), *(word for key, value in options.items() for word in (f"--{key}", value))]

    def _probe(self, connection: socket.socket) -> bool:
        # A server that still loads its data answers -LOADING: not ready yet.
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
