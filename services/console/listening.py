"""The socket of the page, bound before anything else begins, so that an address that is taken is told at once."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from services.settings import ConsoleSettings, SettingsError

__all__ = ["bound_socket"]


@contextlib.contextmanager
def bound_socket(settings: ConsoleSettings) -> Iterator[socket.socket]:
    """A TCP socket at the console's address, closed at the end. Raises SettingsError where it cannot be had."""
    where = f"console at {settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"{where}: {reason}: set console.host to an address of this machine") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as error:
            elsewhere = error.errno == errno.EADDRNOTAVAIL
            remedy = "console.host to an address of this machine" if elsewhere else "console.port to a free one"
            raise SettingsError(f"{where}: {error.strerror or error}: set {remedy}") from None
        yield sock
