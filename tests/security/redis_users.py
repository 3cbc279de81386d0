"""The shipped ACL files, with a password for everyone, and connections under each name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import redis

from services.settings import RedisSettings
from tests.deploy.conftest import DEPLOY
from tests.security.servers import Redis


def filled(name: str, to: Path) -> Path:
    """`deploy/redis/NAME` as docs/how-to/security.md fills it in: each user's password is `NAME's password`."""
    text = (DEPLOY / "redis" / name).read_text()

    def with_hash(found: re.Match[str]) -> str:
        return f"{found[0]} #{hashlib.sha256(password(found['user']).encode()).hexdigest()}"

    to.write_text(re.sub(r"^user (?P<user>(?!default)\S+) on", with_hash, text, flags=re.M))
    return to


def password(user: str) -> str:
    return f"{user}'s password"


def settings(server: Redis, user: str, folder: Path, **more: Any) -> RedisSettings:
    path = folder / f"{user}.password"
    path.write_text(password(user))
    path.chmod(0o600)
    return RedisSettings(host=server.host, port=server.port, username=user, password_file=path, timeout_s=20, **more)


def client(server: Redis, user: str | None) -> Any:
    secret = None if user is None else password(user)
    return redis.Redis(server.host, server.port, username=user, password=secret, protocol=2, driver_info=None)


def denials(server: Redis) -> list[str]:
    """What Redis refused anybody so far, as it told itself."""
    with client(server, "admin") as admin:
        log = admin.execute_command("ACL LOG")
        admin.execute_command("ACL LOG", "RESET")
    # redis-py tells its own version by CLIENT SETINFO, and passes over a refusal.
    told = [entry for entry in map(_as_dict, log) if not entry[b"object"].startswith(b"client")]
    return [f"{entry[b'username'].decode()}: {entry[b'object'].decode()}" for entry in told]


def _as_dict(entry: Any) -> dict[bytes, Any]:
    if isinstance(entry, dict):
        return {(key if isinstance(key, bytes) else key.encode()): _bytes(value) for key, value in entry.items()}
    return dict(zip(entry[::2], entry[1::2], strict=True))


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value
