"""Asking a worker by HTTP, on the address of its metrics."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Final

__all__ = ["ASKING_FAILED", "ask", "reason_of"]

#: What `ask` raises; a refusal with a status is an HTTPError among them.
ASKING_FAILED: Final = (OSError, http.client.HTTPException, ValueError)

# Neither proxies nor redirects: an address of the settings is asked, and no other.
_OPENER: Final = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
):
    _OPENER.add_handler(_handler())


def ask(url: str, *, timeout_s: float, bytes_max: int) -> bytes:
    """What lies at an address. Raises one of `ASKING_FAILED`, also for more than `bytes_max`."""
    with _OPENER.open(url, timeout=timeout_s) as response:
        found: bytes = response.read(bytes_max + 1)
    if len(found) > bytes_max:
        raise ValueError(f"more than {bytes_max} bytes")
    return found


def reason_of(error: Exception) -> str:
    """Why, in a phrase."""
    cause = getattr(error, "reason", None) or error
    return (getattr(cause, "strerror", None) or str(cause) or type(error).__name__)[:200]
