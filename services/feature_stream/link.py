"""The connection to Redis: bounded calls, pipelined commands and scripts. The only module that imports redis."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hybrid_model.errors import DewpointError
from services.feature_stream.connecting import BoundedConnect
from services.feature_stream.scripts import ScriptCall
from services.feature_stream.shards import Command, Shards
from services.security import tls
from services.security.secret_files import read_secret
from services.settings import RedisSettings

__all__ = ["Command", "Entry", "GroupMissingError", "RedisLink", "StreamFullError", "StreamUnavailableError"]

#: The one field of an entry: what is told is inside, in msgpack.
_FIELD: Final = b"m"
#: Milliseconds that a server in cluster mode waits for one stream before all are looked at again.
_NEXT_STREAM_MS: Final = 50
#: How often a command follows the nodes that send it on to another: they may send it in circles while slots move.
_MOVES_MAX: Final = 4

Result = TypeVar("Result")


class StreamUnavailableError(DewpointError):
    """Redis cannot be reached, does not answer in time, loads, or refuses: try again later."""


class StreamFullError(StreamUnavailableError):
    """Redis is at its memory limit and refuses what would enlarge it: try again later."""


class GroupMissingError(StreamUnavailableError):
    """The consumer group is gone, because Redis was wiped: create it again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream entry as read: its message is None where the entry was deleted or has another form."""

    key: str
    entry_id: str
    message: bytes | None


class _Connection(BoundedConnect, redis.Connection):  # type: ignore[misc]
    pass


class _TlsConnection(_Connection):
    """redis-py's own would let the system's certificates vouch for the server too, beside those of the settings."""

    def __init__(self, *, tls_context: ssl.SSLContext, **arguments: Any) -> None:
        super().__init__(**arguments)  # type: ignore[no-untyped-call]
        self._tls_context = tls_context

    def _connect(self) -> socket.socket:
        connected = super()._connect()
        try:
            return self._tls_context.wrap_socket(connected, server_hostname=self.host)
        except BaseException:
            connected.close()
            raise


class RedisLink:
    """Redis for one process; several threads may share it. Connects at the first call, and again when needed.

    Every call is bounded by the socket timeouts of the settings and never repeated here: the caller knows what a
    second attempt would mean.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.address = f"{settings.host}:{settings.port}"
        self._timeout_s = settings.timeout_s
        self._reachable = False
        self._by_stream = False
        self._turn = 0
        self._settings = settings
        arguments = _connection_arguments(settings)
        self._secret: str | None = arguments["password"]
        self._shards = Shards(_client(arguments), lambda host, port: _client(arguments | {"host": host, "port": port}))

    @property
    def reachable(self) -> bool:
        """Whether the last call was answered, and not by a Redis that loads, only reads or has no cluster."""
        return self._reachable

    def close(self) -> None:
        """Close all connections."""
        self._shards.close()

    def ping(self) -> None:
        """Raise StreamUnavailableError unless Redis answers."""
        self.call("PING")

    def call(self, *command: str | bytes | int) -> Any:
        """One command; its reply as redis-py parses it."""
        return self.calls([command])[0]

    def calls(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip, in order. Raises StreamUnavailableError or StreamFullError if any fails."""
        replies = self._pipelined(commands)
        self._raise_first(replies)
        return replies

    def script(self, call: ScriptCall[Result]) -> Result:
        """One script. Raises StreamUnavailableError or StreamFullError."""
        return self.scripts([call])[0]

    def scripts(self, calls: Sequence[ScriptCall[Result]]) -> list[Result]:
        """Scripts in one round trip, in order (a second one after Redis lost its scripts); the result of each.

        Raises StreamUnavailableError or StreamFullError if any fails; the others have run.
        """
        replies = self._pipelined([_evalsha(call) for call in calls])
        unknown = [position for position, reply in enumerate(replies) if _is_unknown_script(reply)]
        if unknown:
            sources = {calls[position].script.source for position in unknown}
            loads: list[Command] = [("SCRIPT LOAD", source) for source in sources]
            for client in self._shards.clients:
                self._raise_first(self._bounded(partial(_run, client, loads)))
            repeated = self._pipelined([_evalsha(calls[position]) for position in unknown])
            for position, reply in zip(unknown, repeated, strict=True):
                replies[position] = reply
        self._raise_first(replies)
        return [call.read(reply) for call, reply in zip(calls, replies, strict=True)]

    def read(self, keys: Sequence[str], *, count: int, block_ms: int) -> list[Entry]:
        """XREAD from the start of each stream: up to `count` entries of each, waiting up to `block_ms` for a first."""
        return self._read(("XREAD",), keys, "0", count, block_ms)

    def read_group(self, keys: Sequence[str], group: str, consumer: str, *, count: int, block_ms: int) -> list[Entry]:
        """XREADGROUP of entries nobody was given yet: up to `count` of each stream. Raises GroupMissingError."""
        return self._read(("XREADGROUP", "GROUP", group, consumer), keys, ">", count, block_ms)

    def optional(self, commands: Sequence[Command]) -> list[Any]:
        """As `calls`, with None for what this user may not ask."""
        replies = [
            None if isinstance(reply, redis.exceptions.NoPermissionError) else reply
            for reply in self._pipelined(commands)
        ]
        self._raise_first(replies)
        return replies

    def _read(
        self, command: tuple[str, ...], keys: Sequence[str], start: str, count: int, block_ms: int
    ) -> list[Entry]:
        if not self._by_stream:
            options = self._read_options(count, block_ms)
            [reply] = self._pipelined([(*command, *options, "STREAMS", *keys, *[start] * len(keys))])
            if not _crosses_slots(reply):
                self._raise_first([reply])
                return _entries(reply)
            self._by_stream = True
        return self._read_by_stream(command, keys, start, count, block_ms)

    def _read_by_stream(
        self, command: tuple[str, ...], keys: Sequence[str], start: str, count: int, block_ms: int
    ) -> list[Entry]:
        """A server in cluster mode reads streams of several slots one by one, and can wait for one of them only."""
        deadline = time.monotonic() + min(block_ms / 1000, self._timeout_s / 2)
        while True:
            replies = self.calls([(*command, "COUNT", count, "STREAMS", key, start) for key in keys])
            entries = [entry for reply in replies for entry in _entries(reply)]
            left_ms = int((deadline - time.monotonic()) * 1000)
            if entries or left_ms < 1:
                return entries
            self._turn += 1
            key = keys[self._turn % len(keys)]
            options = self._read_options(count, min(left_ms, _NEXT_STREAM_MS))
            entries = _entries(self.call(*command, *options, "STREAMS", key, start))
            if entries:
                return entries

    def _read_options(self, count: int, block_ms: int) -> tuple[str | int, ...]:
        if block_ms <= 0:
            return ("COUNT", count)
        # A block as long as the socket's timeout would end in an error instead of an empty answer.
        bound_ms = max(1, min(block_ms, int(self._timeout_s * 500)))
        return ("COUNT", count, "BLOCK", bound_ms)

    def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        return self._bounded(lambda: self._asked(commands))

    def _bounded(self, ask: Callable[[], list[Any]]) -> list[Any]:
        try:
            replies = ask()
        except (redis.RedisError, OSError) as error:
            self._reachable = False
            self._shards.forget()
            raise self._translated(error) from error
        self._reachable = True
        return replies

    def _asked(self, commands: Sequence[Command]) -> list[Any]:
        """In a cluster a node tells which other one to ask: it has not run the command then."""
        replies: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        for _ in range(_MOVES_MAX):
            for client, positions in self._shards.split(commands, left).items():
                answers = _run(client, [commands[position] for position in positions])
                for position, reply in zip(positions, answers, strict=True):
                    replies[position] = reply
            left = [position for position in left if isinstance(replies[position], redis.exceptions.MovedError)]
            if not left:
                break
            for position in left:
                moved = replies[position]
                self._shards.learn(moved.slot_id, moved.host or self._settings.host, moved.port)
        return replies

    def _raise_first(self, replies: Iterable[Any]) -> None:
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            error = self._translated(errors[0])
            self._reachable = isinstance(error, StreamFullError | GroupMissingError)
            raise error from errors[0]

    def _described(self, error: Exception) -> str:
        settings = self._settings
        text = None
        if settings.tls.enabled:
            text = tls.explain(error, settings.tls, section="redis", host=settings.host)
        text = text or (str(error) or type(error).__name__) + _remedy(error, settings)
        # Redis repeats the arguments of a command that it does not know: AUTH may be one, where it was renamed.
        return text.replace(self._secret, "***") if self._secret else text

    def _translated(self, error: Exception) -> StreamUnavailableError | StreamFullError:
        text = f"redis at {self.address}: {self._described(error)}"
        # Errors inside scripts arrive wrapped, and each version of Redis wraps them differently.
        if isinstance(error, redis.OutOfMemoryError) or "OOM command not allowed" in text:
            return StreamFullError(text)
        if "NOGROUP" in text or "UNBLOCKED" in text:  # the latter while a read was waiting
            return GroupMissingError(text)
        return StreamUnavailableError(text)


def _client(arguments: dict[str, Any]) -> Any:
    pool = redis.ConnectionPool(**arguments, retry=Retry(NoBackoff(), 0), socket_keepalive=True, protocol=2)
    return redis.Redis.from_pool(pool)


def _run(client: Any, commands: Sequence[Command]) -> list[Any]:
    """The replies of one node, errors among them."""
    if not commands:
        return []
    if len(commands) == 1:
        try:
            return [client.execute_command(*commands[0])]
        except redis.ResponseError as error:
            return [error]
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies


def _remedy(error: Exception, settings: RedisSettings) -> str:
    if isinstance(error, redis.AuthenticationError):  # also where nobody gets in without a name
        return ": redis.username and redis.password_file must be those that it knows"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f": the ACL of {settings.username or 'the default user'} lacks it; see docs/how-to/security.md"
    closed = isinstance(error, redis.ConnectionError) and ("closed by server" in str(error) or "reset" in str(error))
    if not closed:
        return ""
    if not settings.tls.enabled:
        return ": " + tls.NOT_TLS.format(section="redis")
    if settings.tls.cert_file is None:
        return ": " + tls.CERTIFICATE_ASKED_FOR.format(section="redis")
    return ""


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
        context = tls.make_context(settings.tls, section="redis")
        return arguments | {"connection_class": _TlsConnection, "tls_context": context}
    return arguments | {"connection_class": _Connection}


def _evalsha(call: ScriptCall[Any]) -> Command:
    return ("EVALSHA", call.script.digest, len(call.keys), *call.keys, *call.arguments)


def _is_unknown_script(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


def _crosses_slots(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.ClusterCrossSlotError)


def _entries(reply: Any) -> list[Entry]:
    read: list[Entry] = []
    for key, entries in reply or ():
        for entry_id, fields in entries:
            if entry_id is not None:
                read.append(Entry(key.decode(), entry_id.decode(), (fields or {}).get(_FIELD)))
    return read
