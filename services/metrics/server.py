"""The small HTTP server that shows a process's metrics and whether it works."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from hybrid_model.errors import DewpointError
from services.common.logs import get_logger
from services.settings import MetricsSettings

__all__ = ["Check", "MetricsError", "MetricsServer", "Route"]

#: Whether all is well, or what is not: nothing named means well.
Check = Callable[[], bool | Sequence[str]]
#: Query parameters -> status, content type and body. Called in the request's thread, several at once.
Route = Callable[[Mapping[str, str]], tuple[int, str, bytes]]
_QUERY_FIELDS_MAX = 16


class MetricsError(DewpointError):
    """The address for metrics cannot be listened on."""


class MetricsServer:
    """HTTP: `/metrics`, `/healthz` (the process is alive) and `/readyz` (it does its work now).

    Port 0 in the settings switches it off; `port` is then None.

    Args:
        settings: Where to listen.
        registry: What to show.
        ready: What keeps the worker from its work now, a phrase each, or whether it is ready; asked at each `/readyz`.
        healthy: Whether the worker works at all; asked at each `/healthz`.
        routes: What else is answered, by path.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        registry: CollectorRegistry,
        *,
        ready: Check = lambda: True,
        healthy: Check = lambda: True,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self._settings = settings
        self._handler = _handler(registry, {"/readyz": ready, "/healthz": healthy}, routes or {})
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """TCP port while it listens."""
        return None if self._server is None else int(self._server.server_address[1])

    def start(self) -> Self:
        """Listen, in a thread of its own. Raises MetricsError."""
        host, port = self._settings.host, self._settings.port
        if port == 0:
            return self
        try:
            self._server = _Server((host, port), self._handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MetricsError(f"metrics at {host}:{port}: {reason}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16


def _handler(
    registry: CollectorRegistry, checks: Mapping[str, Check], routes: Mapping[str, Route]
) -> type[BaseHTTPRequestHandler]:
    paths = ", ".join(["/metrics", "/healthz", "/readyz", *routes]) + "\n"

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # a client that says nothing holds its thread no longer

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in checks:
                found = checks[path]()
                passed, reasons = (found, []) if isinstance(found, bool) else (not found, list(found))
                body = json.dumps({"ok": passed, "reasons": reasons})
                self._answer(200 if passed else 503, "application/json", body.encode())
            elif path in routes:
                self._answer(*_asked(routes[path], query))
            else:
                self._answer(404, "text/plain; charset=utf-8", paths.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are no news."""

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _asked(route: Route, query: str) -> tuple[int, str, bytes]:
    """What a route answers, or that it failed: nobody who asks ends a worker."""
    try:
        parameters = dict(parse_qsl(query, max_num_fields=_QUERY_FIELDS_MAX))
    except ValueError:
        return 400, "text/plain; charset=utf-8", b"too many parameters\n"
    try:
        return route(parameters)
    except Exception:
        get_logger("metrics").exception("request_failed")
        return 500, "text/plain; charset=utf-8", b"it failed; the log says why\n"
