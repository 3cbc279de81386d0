"""What a camera is called: a URL, a device or a file; and what of it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from services.sources.errors import SourceError

__all__ = ["Address", "find_address"]

_SCHEMES: Final = ("rtsp", "rtsps", "http", "https")


@dataclass(frozen=True)
class Address:
    """Where frames come from. `opened` may hold a password, `shown` holds none.

    `password_given`: it stood in the URL, where others on the machine can read it.
    """

    kind: Literal["url", "device", "file"]
    opened: str = field(repr=False)
    shown: str
    password_given: bool = False


def find_address(source: str, *, user: str | None = None, password: str | None = None) -> Address:
    """The address that somebody wrote: a URL, `/dev/videoN` or its number N, or the path of a file.

    `user`, `password`: what the camera at a URL is told; they come before what stands in the URL. Raises SourceError.
    """
    if "://" in source:
        return _url(source, user, password)
    if user is not None or password is not None:
        raise SourceError("a user or password is for the URL of a camera; devices and files ask for none")
    if source.isascii() and source.isdigit():
        source = f"/dev/video{source}"
    if source.startswith("/dev/"):
        return Address("device", source, source)
    path = Path(source)
    if not path.exists():
        raise SourceError(f"{source}: no such file; write a URL as rtsp://HOST/PATH, a device as /dev/video0")
    if path.is_dir():
        raise SourceError(f"{source} is a folder; its pictures are sent by `dewpoint stream folder {source}`")
    # A path must not be taken for a protocol, as in "a:b.mp4".
    return Address("file", f"file:{path.absolute()}", source)


def _url(source: str, user: str | None, password: str | None) -> Address:
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SourceError("the URL of the camera is none: write it as rtsp://HOST:PORT/PATH") from None
    if parts.scheme not in _SCHEMES or not host:
        raise SourceError(f"the camera's URL begins with {', '.join(f'{name}://HOST' for name in _SCHEMES)}")
    where = f"[{host}]" if ":" in host else host
    where = where if port is None else f"{where}:{port}"
    # What follows `?` often holds a password or token, too.
    shown = urlunsplit((parts.scheme, where, parts.path, "", "")) + ("?..." if parts.query else "")
    in_url = parts.password is not None or re.search(r"pass|pwd|token|key", parts.query, re.IGNORECASE) is not None
    user = user if user is not None or parts.username is None else unquote(parts.username)
    known = password if password is not None or parts.password is None else unquote(parts.password)
    if known is not None and not user:
        raise SourceError(f"{shown}: a password without a user: name it with --user")
    account = (
        "" if user is None else quote(user, safe="") + ("" if known is None else f":{quote(known, safe='')}") + "@"
    )
    opened = urlunsplit((parts.scheme, account + where, parts.path, parts.query, ""))
    return Address("url", opened, shown, password_given=in_url)
