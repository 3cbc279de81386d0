"""Who may come in: by token where the page listens to more than this machine, and never from another site's pages."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.web.login_page import login_page
from services.security.secret_files import read_secret
from services.settings import ConsoleSettings, SettingsError

__all__ = ["Access", "is_loopback", "required_token"]

COOKIE: Final = "dewpoint_console"
TOKEN_CHARS_MIN: Final = 16
_SESSIONS_MAX: Final = 1000
_SESSION_S: Final = 12 * 3600
_FAILURES_MAX: Final = 10
_FAILURES_S: Final = 60.0
_FORM_BYTES_MAX: Final = 4096
_PATH: Final = "/login"
# NiceGUI's pages are built by scripts of their own; nothing may come from, or go, elsewhere.
_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data:; font-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def required_token(settings: ConsoleSettings) -> str | None:
    """The token to come in with; None where none is asked for.

    Raises SettingsError where one is needed and there is none, or it is short.
    """
    if settings.token_file is None:
        if is_loopback(settings.host):
            return None
        raise SettingsError(
            f"console.host {settings.host} is reached from other machines: name a file with a token in"
            " console.token_file (python -c 'import secrets; print(secrets.token_urlsafe())' makes one),"
            " or listen on 127.0.0.1"
        )
    token = read_secret(settings.token_file)
    if len(token) < TOKEN_CHARS_MIN:
        raise SettingsError(
            f"console.token_file {settings.token_file}: a token has {TOKEN_CHARS_MIN} characters or more"
        )
    return token


class Access:
    """In front of the page: every request and every socket passes here.

    Requests that a browser makes for another site's page are refused (`Origin`), and without a token those for another
    name than loopback's (`Host`): a page elsewhere could else steer the site through this one.

    Args:
        app: What is guarded.
        token: What to come in with; None lets everyone in who reaches the address.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._failures: list[float] = []
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer: Response | None = None
        if not self._same_site(headers):
            answer = PlainTextResponse("asked for by another site's page", 403)
        elif self._token is not None and not self._knows(headers):
            if scope["type"] == "http":
                answer = await self._stranger(Request(scope, receive))
            else:
                answer = PlainTextResponse("log in first", 401)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await answer(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _same_site(self, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            if origin is not None and urlsplit(origin).netloc != host:
                return False
            return self._token is not None or is_loopback(urlsplit(f"//{host}").hostname or "")
        except ValueError:  # no address at all, as http://[
            return False

    def _knows(self, headers: Headers) -> bool:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        with self._lock:
            until = self._sessions.get(_digest(cookie), 0.0)
        return time.monotonic() < until

    async def _stranger(self, request: Request) -> Response:
        """Log in by the form, or by `?token=` once; anything else gets the form."""
        given, target = request.query_params.get("token"), request.url.path
        if request.url.path == _PATH and request.method == "POST":
            given, target = await _posted_token(request), "/"
        if given is None:
            return HTMLResponse(login_page(), 401)
        if self._locked():
            return HTMLResponse(login_page("Too many attempts. Wait a minute."), 429)
        if not secrets.compare_digest(given.encode(), (self._token or "").encode()):
            with self._lock:
                self._failures.append(time.monotonic())
            return HTMLResponse(login_page("That is not the token."), 401)
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        path = "/" + target.lstrip("/\\")
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        answer.set_cookie(
            COOKIE, self._new_session(), max_age=_SESSION_S, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    def _locked(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._failures = [at for at in self._failures if at > now - _FAILURES_S][-_FAILURES_MAX:]
            return len(self._failures) >= _FAILURES_MAX

    def _new_session(self) -> str:
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_digest(session)] = time.monotonic() + _SESSION_S
            while len(self._sessions) > _SESSIONS_MAX:
                self._sessions.popitem(last=False)
        return session


async def _posted_token(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            return ""
    return parse_qs(body.decode(errors="replace")).get("token", [""])[0]


def _digest(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


def _with_headers(send: Send) -> Send:
    """No other site may frame the page, and no address of it is told elsewhere."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _POLICY
            headers["X-Frame-Options"] = "DENY"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
        await send(message)

    return sending
