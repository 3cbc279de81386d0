"""The page's socket, and the server behind it, until SIGTERM or SIGINT.

The socket is bound before anything else begins, so that an address that is taken is told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from services.common import logs
from services.console.web.access import Access
from services.settings import ConsoleSettings, SettingsError

__all__ = ["bound_socket", "serve"]

#: Seconds that open requests may take once the process was asked to end.
_GOODBYE_S: Final = 2


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


def serve(app: ASGIApp, sock: socket.socket, *, token: str | None) -> None:
    """Serve an application on this socket until SIGTERM or SIGINT, to those who have the token. From the main thread.

    `token`: None lets everyone in who reaches the address.
    """
    # No access log: addresses may hold the token. What stands before us may not say who asks.
    config = uvicorn.Config(
        Access(app, token), log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_GOODBYE_S, ws_max_size=1 << 20, h11_max_incomplete_event_size=1 << 16,
    )  # fmt: skip
    host, port = sock.getsockname()[:2]
    logs.get_logger("console").info("console_started", address=f"http://{host}:{port}")
    asyncio.run(uvicorn.Server(config).serve(sockets=[sock]))
