"""Asking another process of the pipeline by HTTP: one address, bounded in time and bytes, errors in a phrase."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from hybrid_model.errors import DewpointError

__all__ = ["AnswerUnreadableError", "AskError", "RefusedError", "ask", "ask_for_object"]

#: Bytes of a refusal's body that are read.
_REFUSAL_BYTES_MAX: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 16
_REASON_CHARS_MAX: Final = 200

# Neither proxies nor redirects: the address that was named is asked, and no other.
_OPENER: Final = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
):
    _OPENER.add_handler(_handler())


class AskError(DewpointError):
    """No answer came, or none in HTTP, or not all of it; the message says why, in a phrase."""


class RefusedError(AskError):
    """The answer has a status other than success.

    Attributes:
        status: The HTTP status.
        told: The JSON object of its body; empty where there is none.
    """

    def __init__(self, message: str, status: int, told: dict[str, Any]) -> None:
        super().__init__(message)
        self.status, self.told = status, told


class AnswerUnreadableError(AskError):
    """The answer is not what was asked for."""


def ask(url: str, *, timeout_s: float, bytes_max: int) -> bytes:
    """What an http(s) address answers.

    Args:
        url: The address.
        timeout_s: For each step until the answer begins, and for its whole body.
        bytes_max: Bytes of a body that are taken.

    Raises AskError, RefusedError among them.
    """
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise AskError("its address is not http://HOST:PORT")
        with _OPENER.open(url, timeout=timeout_s) as response:
            return _body(response, timeout_s=timeout_s, bytes_max=bytes_max)
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise _refused(refusal, timeout_s) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AskError(_reason(error, timeout_s)) from None


def ask_for_object(url: str, *, timeout_s: float, bytes_max: int) -> dict[str, Any]:
    """The JSON object that an address answers, as `ask`. Raises AskError, AnswerUnreadableError among them."""
    found = _parsed(ask(url, timeout_s=timeout_s, bytes_max=bytes_max))
    if found is None:
        raise AnswerUnreadableError("its answer is no JSON object")
    return found


def _body(response: http.client.HTTPResponse, *, timeout_s: float, bytes_max: int) -> bytes:
    """The whole body: a server that closes early, or sends a byte now and then, has not answered."""
    announced, deadline = response.length, time.monotonic() + timeout_s
    body = bytearray()
    while announced is None or len(body) < announced:
        if len(body) > bytes_max or (announced is not None and announced > bytes_max):
            raise AskError(f"its answer has more than {bytes_max} bytes")
        piece = response.read1(_PIECE_BYTES)
        if not piece:
            break
        body += piece
        if time.monotonic() > deadline:
            raise TimeoutError
    if announced is not None and len(body) < announced:
        raise http.client.IncompleteRead(bytes(body))
    return bytes(body)


def _refused(refusal: urllib.error.HTTPError, timeout_s: float) -> RefusedError:
    elsewhere = refusal.headers.get("Location", "") if 300 <= refusal.code < 400 else ""
    message = _phrase(f"HTTP {refusal.code} {refusal.reason}{f', to {elsewhere}' if elsewhere else ''}")
    try:
        assert isinstance(refusal.fp, http.client.HTTPResponse)
        body = _body(refusal.fp, timeout_s=timeout_s, bytes_max=_REFUSAL_BYTES_MAX)
    except (AskError, OSError, http.client.HTTPException, ValueError):
        body = b""
    return RefusedError(message, refusal.code, _parsed(body) or {})


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(cause, http.client.IncompleteRead):
        return "its answer broke off"
    if isinstance(cause, http.client.HTTPException) and not isinstance(cause, http.client.InvalidURL):
        return _phrase(f"it does not speak HTTP: {type(cause).__name__} {cause}")
    return _phrase(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)


def _phrase(text: str) -> str:
    """One short line: parts of it come from whoever answered."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text[:_REASON_CHARS_MAX]).split())
