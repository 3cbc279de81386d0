"""Bytes that come as text: base64, or a data URL."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from services.messages import MessageError, appearance

__all__ = ["bytes_of_text"]

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def bytes_of_text(text: bytes) -> bytes:
    """What base64, of either alphabet, or a data URL says. Raises MessageError (not_base64)."""
    body = text.removeprefix(b"\xef\xbb\xbf").strip().strip(b'"')
    if body[:5].lower() == b"data:":
        head, comma, body = body.partition(b",")
        if not comma or not head.lower().endswith(b";base64"):
            raise MessageError("not_base64", "a data URL without `;base64,`")
    body = b"".join(body.split()).rstrip(b"=").translate(_URL_SAFE)
    try:
        return base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError("not_base64", f"{error}; {appearance(text)}") from None
