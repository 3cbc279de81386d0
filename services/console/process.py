"""The console as a process: from settings to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from services.common import logs
from services.console.access import Access
from services.console.curve import Curve, load_manifest
from services.console.feed import Feed
from services.console.letters import Letters
from services.console.listening import bound_socket
from services.console.page.build import add_page
from services.console.page.desk import Desk
from services.console.scraping import Scraper
from services.console.state import State
from services.settings import Settings

__all__ = ["run"]

_GOODBYE_S = 2


def run(settings: Settings, token: str | None) -> None:
    """Serve the page until SIGTERM or SIGINT. Call it from the main thread. `token`: what to come in with.

    Raises:
        SettingsError: a secret cannot be read, or the address is taken.
        MqttError: the broker cannot be reached or refuses us.
    """
    logs.configure(settings.log)
    manifest = load_manifest(settings.edge.bundle)
    curve = None if manifest is None else Curve.of(manifest)
    state = State(pictures_kept=settings.console.pictures_kept, curve=curve)
    window = (128, None) if manifest is None else (manifest.input.shape[1], manifest.input.rate_hz)
    feed = Feed(settings, state, window=window)
    scraper = Scraper(settings.console.workers, state.take_scrapes)
    with bound_socket(settings.console) as sock, contextlib.ExitStack() as stack:
        letters = Letters(settings.redis)
        stack.callback(letters.close)
        feed.start()
        stack.callback(feed.stop)
        scraper.start()
        stack.callback(scraper.stop)
        _serve(Desk(settings.site.name, state, feed, letters), token, sock)


def _serve(desk: Desk, token: str | None, sock: socket.socket) -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_page(desk)
    ui.run_with(
        app, title="Dewpoint", dark=None, tailwind=False, reconnect_timeout=10.0, show_welcome_message=False,
        message_history_length=200, binding_refresh_interval=None,
    )  # fmt: skip
    logging.getLogger("nicegui").setLevel(logging.WARNING)
    # No access log: addresses may hold the token. What stands before us may not say who asks.
    config = uvicorn.Config(
        Access(app, token), log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_GOODBYE_S, ws_max_size=1 << 20, h11_max_incomplete_event_size=1 << 16,
    )  # fmt: skip
    host, port = sock.getsockname()[:2]
    logs.get_logger("console").info("console_started", address=f"http://{host}:{port}")
    asyncio.run(uvicorn.Server(config).serve(sockets=[sock]))
