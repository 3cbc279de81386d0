"""The connection to Redis: bounded calls, pipelined commands and scripts. The only module that imports redis."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.feature_stream.errors import GroupMissing, StreamFull, StreamUnavailable
from services.settings import RedisSettings, read_secret

__all__ = ["Command", "Entry", "RedisLink", "ScriptCall"]

Command = tuple[str | bytes | int, ...]

_FIELD = b"m"
_LEASE_SCRIPTS = frozenset({"claim", "run_alone", "give_up", "renew", "answer", "dead_letter"})


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A call of one of the scripts in ``scripts/``, by its name."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream entry as read: its message is None where the entry was deleted or has another form."""

    key: str
    entry_id: str
    message: bytes | None


class RedisLink:
    """Redis for one process; several threads may share it. Connects at the first call, and again when needed.

    Every call is bounded by the socket timeouts of the settings and never repeated here: the caller knows what a
    second attempt would mean.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.address = f"{settings.host}:{settings.port}"
        self._timeout_s = settings.timeout_s
        self._client: Any = redis.Redis(
            **_connection_arguments(settings),
            retry=Retry(NoBackoff(), 0),
            socket_keepalive=True,
            protocol=2,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def ping(self) -> None:
        """Raise StreamUnavailable unless Redis answers."""
        self.call("PING")

    def call(self, *command: str | bytes | int) -> Any:
        """One command; its reply as redis-py parses it."""
        return self.calls([command])[0]

    def calls(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, in order. Raises StreamUnavailable or StreamFull if any fails."""
        replies = self._pipelined(commands)
        self._raise_first(replies)
        return replies

    def scripts(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Scripts in one round trip, in order (a second one after Redis lost its scripts).

        Raises StreamUnavailable or StreamFull if any fails; the others have run.
        """
        replies = self._pipelined([_evalsha(call) for call in calls])
        unknown = [position for position, reply in enumerate(replies) if _is_unknown_script(reply)]
        if unknown:
            names = sorted({calls[position].script for position in unknown})
            self.calls([("SCRIPT LOAD", _source(name)) for name in names])
            repeated = self._pipelined([_evalsha(calls[position]) for position in unknown])
            for position, reply in zip(unknown, repeated, strict=True):
                replies[position] = reply
        self._raise_first(replies)
        return replies

    def read(self, keys: Sequence[str], *, count: int, block_ms: int) -> list[Entry]:
        """XREAD from the start of each stream: up to `count` entries of each, waiting up to `block_ms` for a first."""
        options = self._read_options(count, block_ms)
        return _entries(self.call("XREAD", *options, "STREAMS", *keys, *["0"] * len(keys)))

    def read_group(self, keys: Sequence[str], group: str, consumer: str, *, count: int, block_ms: int) -> list[Entry]:
        """XREADGROUP of entries nobody was given yet: up to `count` of each stream. Raises GroupMissing."""
        options = self._read_options(count, block_ms)
        command = ("XREADGROUP", "GROUP", group, consumer, *options, "STREAMS", *keys, *[">"] * len(keys))
        return _entries(self.call(*command))

    def create_group(self, key: str, group: str) -> None:
        """Create a consumer group at the start of a stream, and the stream, unless they stand."""
        [reply] = self._pipelined([("XGROUP CREATE", key, group, "0", "MKSTREAM")])
        if isinstance(reply, Exception) and "BUSYGROUP" not in str(reply):
            raise self._translated(reply) from reply

    def optional(self, commands: Sequence[Command]) -> list[Any]:
        """As `calls`, with None for what Redis refuses, since not every user may ask everything."""
        replies = self._pipelined(commands)
        return [None if isinstance(reply, redis.ResponseError) else reply for reply in replies]

    def _read_options(self, count: int, block_ms: int) -> tuple[str | int, ...]:
        if block_ms <= 0:
            return ("COUNT", count)
        # A block as long as the socket's timeout would end in an error instead of an empty answer.
        bound_ms = max(1, min(block_ms, int(self._timeout_s * 500)))
        return ("COUNT", count, "BLOCK", bound_ms)

    def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        try:
            if len(commands) == 1:
                try:
                    return [self._client.execute_command(*commands[0])]
                except redis.ResponseError as error:
                    return [error]
            with self._client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = pipeline.execute(raise_on_error=False)
                return replies
        except (redis.RedisError, OSError) as error:
            raise self._translated(error) from error

    def _raise_first(self, replies: Iterable[Any]) -> None:
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            raise self._translated(errors[0]) from errors[0]

    def _translated(self, error: Exception) -> StreamUnavailable | StreamFull:
        text = f"redis at {self.address}: {str(error) or type(error).__name__}"
        # Errors inside scripts arrive wrapped, and each version of Redis wraps them differently.
        if isinstance(error, redis.OutOfMemoryError) or "OOM command not allowed" in text:
            return StreamFull(text)
        if "NOGROUP" in text or "UNBLOCKED" in text:  # the latter while a read was waiting
            return GroupMissing(text)
        return StreamUnavailable(text)


def _connection_arguments(settings: RedisSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "db": settings.db,
        "username": settings.username,
        "password": read_secret(settings.password_file) if settings.password_file is not None else None,
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
    }
    if settings.tls.enabled:
        files = {
            "ssl_ca_certs": settings.tls.ca_file,
            "ssl_certfile": settings.tls.cert_file,
            "ssl_keyfile": settings.tls.key_file,
        }
        arguments |= {"ssl": True} | {name: str(path) for name, path in files.items() if path is not None}
    return arguments


def _evalsha(call: ScriptCall) -> Command:
    return ("EVALSHA", _digest(call.script), len(call.keys), *call.keys, *call.arguments)


def _is_unknown_script(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


@cache
def _source(name: str) -> str:
    folder = importlib.resources.files("services.feature_stream") / "scripts"
    source = (folder / f"{name}.lua").read_text()
    return (folder / "lease.lua").read_text() + source if name in _LEASE_SCRIPTS else source


@cache
def _digest(name: str) -> str:
    return sha1(_source(name).encode(), usedforsecurity=False).hexdigest()


def _entries(reply: Any) -> list[Entry]:
    found: list[Entry] = []
    for key, entries in reply or ():
        for entry_id, fields in entries:
            if entry_id is not None:
                found.append(Entry(key.decode(), entry_id.decode(), (fields or {}).get(_FIELD)))
    return found
