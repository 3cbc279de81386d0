"""Connecting within a bound: the system's own name lookup knows none, and a name may have many addresses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any, Final

__all__ = ["BoundedConnect", "look_up"]

Address = tuple[Any, ...]


class BoundedConnect:
    """For a connection of redis-py, before its own class: `socket_connect_timeout` bounds lookup and all attempts."""

    host: str
    port: int
    socket_keepalive: bool
    socket_connect_timeout: float
    socket_timeout: float

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + self.socket_connect_timeout
        error: OSError | None = None
        for family, kind, protocol, _, address in look_up(self.host, self.port, timeout_s=self.socket_connect_timeout):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            connected = socket.socket(family, kind, protocol)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.socket_keepalive:
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connected.settimeout(left_s)
                connected.connect(address)
                connected.settimeout(self.socket_timeout)
                return connected
            except OSError as refused:
                error = refused
                connected.close()
        raise error or OSError(f"{self.host} has no address that answers in time")


def look_up(host: str, port: int, *, timeout_s: float) -> list[Address]:
    """What getaddrinfo finds. Raises OSError, after `timeout_s` too: the lookup goes on, for those who ask later."""
    with contextlib.suppress(OSError, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    with _lock:
        lookup = _under_way.get((host, port))
        if lookup is None:
            lookup = _under_way[host, port] = _Lookup(host, port)
    if not lookup.done.wait(timeout_s):
        raise OSError(f"the name {host} is not resolved within {timeout_s:g} s")
    if lookup.error is not None:
        raise OSError(f"the name {host} cannot be resolved: {lookup.error}")
    return lookup.found


class _Lookup:
    """One lookup in a thread of its own; who asks for the same name meanwhile waits for it too."""

    def __init__(self, host: str, port: int) -> None:
        self.done = threading.Event()
        self.found: list[Address] = []
        self.error: str | None = None
        threading.Thread(target=self._run, args=(host, port), name="lookup", daemon=True).start()

    def _run(self, host: str, port: int) -> None:
        try:
            self.found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            self.error = getattr(error, "strerror", None) or str(error)
        with _lock:
            _under_way.pop((host, port), None)
        self.done.set()


_lock: Final = threading.Lock()
_under_way: Final[dict[tuple[str, int], _Lookup]] = {}
