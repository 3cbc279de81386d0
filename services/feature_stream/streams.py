"""Which streams are in use, and how much waits in them.

Edge workers enter their streams into a registry; cloud workers serve those of which they have the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.feature_stream import scripts
from services.feature_stream.keys import REGISTRY, Stream, streams_of
from services.feature_stream.link import Command, RedisLink

__all__ = ["QueueState", "enter_streams", "forget_stream", "queue_state", "silent_streams", "streams_in_use"]

_COMMANDS_PER_STREAM: Final = 3


@dataclass(frozen=True, slots=True)
class QueueState:
    """Escalations of one network that are not answered yet, over all its partitions.

    Attributes:
        length: Number of entries, those in work included.
        oldest_age_s: Age of the oldest by Redis' clock, 0 where there is none.
        bytes: Memory that the streams take in Redis; None where Redis does not tell.
    """

    length: int
    oldest_age_s: float
    bytes: int | None


def enter_streams(link: RedisLink, streams: Iterable[Stream]) -> None:
    """Enter streams, or enter them again: Redis may have been wiped. Raises StreamUnavailableError."""
    entered = list(streams)
    if entered:
        link.script(scripts.enter(entered))


def streams_in_use(link: RedisLink) -> frozenset[Stream]:
    """The streams in the registry. Members of another form are left out. Raises StreamUnavailableError."""
    return streams_of(link.call("ZRANGE", REGISTRY, 0, -1))


def silent_streams(link: RedisLink, silent_s: float) -> frozenset[Stream]:
    """Those of them that no edge has entered for so long. Raises StreamUnavailableError."""
    return link.script(scripts.silent(silent_s))


def forget_stream(link: RedisLink, stream: Stream, silent_s: float) -> bool:
    """Remove a stream that no edge has entered for so long; False where one just did. Raises StreamUnavailableError."""
    return link.script(scripts.forget(stream, silent_s))


def queue_state(link: RedisLink, streams: Sequence[Stream]) -> QueueState:
    """The state of several streams together, in one round trip. Raises StreamUnavailableError."""
    commands: list[Command] = [("TIME",)]
    for stream in streams:
        commands += [("XLEN", stream.features), ("XRANGE", stream.features, "-", "+", "COUNT", 1)]
        commands += [("MEMORY USAGE", stream.features)]
    now, *replies = link.optional(commands)
    now_s = now[0] + now[1] / 1e6 if now is not None else 0.0
    parts = [replies[start : start + _COMMANDS_PER_STREAM] for start in range(0, len(replies), _COMMANDS_PER_STREAM)]
    sizes = [size for length, _, size in parts if length]
    return QueueState(
        length=sum(length or 0 for length, _, _ in parts),
        oldest_age_s=max((_age_s(now_s, oldest) for _, oldest, _ in parts), default=0.0),
        bytes=None if None in sizes else sum(sizes),
    )


def _age_s(now_s: float, oldest: Any) -> float:
    if not oldest:
        return 0.0
    entry_id: bytes = oldest[0][0]
    return max(0.0, now_s - int(entry_id.partition(b"-")[0]) / 1e3)
