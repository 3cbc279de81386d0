"""Which networks are in use: edges enter their streams, cloud workers serve those of which they have the bundle."""

from __future__ import annotations

from collections.abc import Iterable

from services.feature_stream.keys import REGISTRY, Stream
from services.feature_stream.link import RedisLink

__all__ = ["enter", "entered"]


def enter(link: RedisLink, streams: Iterable[Stream]) -> None:
    """Enter streams, or enter them again: Redis may have been wiped. Raises StreamUnavailable, StreamFull."""
    names = [stream.name for stream in streams]
    if names:
        link.call("SADD", REGISTRY, *names)


def entered(link: RedisLink) -> frozenset[Stream]:
    """The streams in use. Members of another form are left out. Raises StreamUnavailable."""
    found: set[Stream] = set()
    for member in link.call("SMEMBERS", REGISTRY):
        try:
            found.add(Stream.parse(member.decode()))
        except ValueError:
            continue
    return frozenset(found)
