"""What a site can find out about its machine, so that nobody has to be asked."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from services.servers import ServerMissingError, find_mosquitto, find_redis_server

__all__ = ["Facts", "find_facts", "free_port_from"]

_VERSION: Final = re.compile(r"\bv=(\d+)\.")
_TIMEOUT_S: Final = 10.0
_PORTS_TRIED: Final = 200
#: `req -x509 -CA` signs with it.
_OPENSSL_MAJOR: Final = 3


@dataclass(frozen=True)
class Facts:
    """The machine: its name, its cores, the account that runs things, and the programs that are there.

    `mosquitto`, `redis_server` and `openssl` (3 or newer) are None where they are not installed. `dewpoint`: the words
    that begin a command of ours.
    """

    host: str
    cores: int
    account: str
    systemd: bool
    dewpoint: tuple[str, ...]
    mosquitto: Path | None
    redis_server: Path | None
    redis_major: int
    openssl: Path | None
    torch: bool


def find_facts() -> Facts:
    """Look at this machine."""
    redis_server = _redis_server()
    return Facts(
        host=socket.gethostname(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        account=getpass.getuser(),
        systemd=Path("/run/systemd/system").is_dir(),
        dewpoint=_dewpoint(),
        mosquitto=_mosquitto(),
        redis_server=redis_server,
        redis_major=_major(redis_server),
        openssl=_openssl(),
        torch=find_spec("torch") is not None,
    )


def free_port_from(port: int, taken: Collection[int]) -> int:
    """`port`, or the next one above that nobody listens on here and that is not `taken`."""
    for candidate in range(port, port + _PORTS_TRIED):
        if candidate not in taken and _is_free(candidate):
            return candidate
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _dewpoint() -> tuple[str, ...]:
    installed = Path(sys.executable).with_name("dewpoint")
    return (str(installed),) if os.access(installed, os.X_OK) else (sys.executable, "-m", "services.cli")


def _mosquitto() -> Path | None:
    try:
        return find_mosquitto()
    except ServerMissingError:
        return None


def _redis_server() -> Path | None:
    try:
        return find_redis_server("system")
    except ServerMissingError:
        return None


def _openssl() -> Path | None:
    found = shutil.which("openssl")
    version = re.match(r"OpenSSL (\d+)\.", _said(Path(found), "version")) if found else None
    return Path(found) if found and version and int(version[1]) >= _OPENSSL_MAJOR else None


def _major(redis_server: Path | None) -> int:
    """The first number of its version; 7 where it is not known."""
    found = None if redis_server is None else _VERSION.search(_said(redis_server, "--version"))
    return int(found[1]) if found else 7


def _said(program: Path, argument: str) -> str:
    try:
        return subprocess.run(
            [program, argument], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
