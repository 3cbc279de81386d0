"""Which networks are in use: edges enter their streams, cloud workers serve those of which they have the bundle."""

from __future__ import annotations

from collections.abc import Iterable

from services.feature_stream.keys import REGISTRY, Stream
from services.feature_stream.link import RedisLink, ScriptCall

__all__ = ["enter", "entered", "forget", "silent"]


def enter(link: RedisLink, streams: Iterable[Stream]) -> None:
    """Enter streams, or enter them again: Redis may have been wiped. Raises StreamUnavailableError."""
    names = [stream.name for stream in streams]
    if names:
        link.scripts([ScriptCall("enter", [REGISTRY], names)])


def entered(link: RedisLink) -> frozenset[Stream]:
    """The streams in use. Members of another form are left out. Raises StreamUnavailableError."""
    return _streams(link.call("ZRANGE", REGISTRY, 0, -1))


def silent(link: RedisLink, silent_s: float) -> frozenset[Stream]:
    """Those of them that no edge has entered for so long. Raises StreamUnavailableError."""
    [names] = link.scripts([ScriptCall("silent", [REGISTRY], [int(silent_s)])])
    return _streams(names)


def forget(link: RedisLink, stream: Stream, silent_s: float) -> bool:
    """Remove a stream that no edge has entered for so long; False where one just did. Raises StreamUnavailableError."""
    [forgotten] = link.scripts([ScriptCall("forget", [REGISTRY], [stream.name, int(silent_s)])])
    return bool(forgotten)


def _streams(names: Iterable[bytes]) -> frozenset[Stream]:
    found: set[Stream] = set()
    for name in names:
        try:
            found.add(Stream.parse(name.decode()))
        except ValueError:
            continue
    return frozenset(found)
