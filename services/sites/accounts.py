"""Accounts at the broker and at Redis: passwords that nobody has chosen, and what the servers store of them."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Final

__all__ = ["MQTT_WORKERS", "REDIS_USERS", "mosquitto_passwords", "new_password", "redis_users"]

#: Accounts on the workers' listener, as `workers.acl` has them.
MQTT_WORKERS: Final = ("edge-1", "operator", "console", "consumer", "gateway")
#: Users at Redis, as `users.acl` has them.
REDIS_USERS: Final = ("edge-1", "cloud", "audit", "operator", "admin")
_SALT_BYTES: Final = 12
#: As mosquitto_passwd; a password of 192 random bits needs no more.
_ITERATIONS: Final = 101


def new_password() -> str:
    """48 hexadecimal digits."""
    return secrets.token_hex(24)


def mosquitto_passwords(passwords: Mapping[str, str]) -> str:
    """A password file of Mosquitto 2: a line each, PBKDF2 with SHA-512, as mosquitto_passwd makes them."""
    lines = []
    for name, password in passwords.items():
        salt = secrets.token_bytes(_SALT_BYTES)
        derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
        lines.append(
            f"{name}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}\n"
        )
    return "".join(lines)


def redis_users(shipped: str, passwords: Mapping[str, str], *, site: str) -> str:
    """The shipped `users.acl` with the hashes of passwords, for a site; users without a password are left out."""

    def with_hash(found: re.Match[str]) -> str:
        return f"user {found['name']} on #{hashlib.sha256(passwords[found['name']].encode()).hexdigest()}"

    lines = []
    for line in shipped.splitlines():
        name = line.split()[1] if line.startswith("user ") else None
        if name is None or name == "default":
            lines.append(line)
        elif name in passwords:
            lines.append(
                re.sub(r"^user (?P<name>\S+) on", with_hash, line).replace(":replies:site:", f":replies:{site}:")
            )
    return "\n".join(lines) + "\n"
