"""The console as a process: what it is put together from, from settings to SIGTERM."""

from __future__ import annotations

import contextlib

from services.common import logs
from services.console.collect import Feed, Letters, Scraper
from services.console.page import Desk, page_app
from services.console.state import PathCurve, State, load_manifest
from services.console.web import bound_socket, serve
from services.settings import Settings

__all__ = ["run"]

#: Rows and readings a second of a window, where no bundle says it.
_WINDOW_UNKNOWN = (128, None)


def run(settings: Settings, token: str | None) -> None:
    """Serve the page until SIGTERM or SIGINT. Call it from the main thread. `token`: what to come in with.

    Raises:
        SettingsError: a secret cannot be read, or the address is taken.
        MqttError: the broker cannot be reached or refuses us.
    """
    logs.configure(settings.log)
    manifest = load_manifest(settings.edge.bundle)
    curve = None if manifest is None else PathCurve.of(manifest)
    state = State(pictures_kept=settings.console.pictures_kept, curve=curve)
    window = _WINDOW_UNKNOWN if manifest is None else (manifest.input.shape[1], manifest.input.rate_hz)
    feed = Feed(settings, state, window=window)
    scraper = Scraper(settings.console.workers, state.take_scrapes)
    with bound_socket(settings.console) as sock, contextlib.ExitStack() as stack:
        letters = Letters(settings.redis)
        stack.callback(letters.close)
        feed.start()
        stack.callback(feed.stop)
        scraper.start()
        stack.callback(scraper.stop)
        serve(page_app(Desk(settings.site.name, state, feed, letters)), sock, token=token)
