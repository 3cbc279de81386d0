"""How much waits in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.feature_stream.keys import Stream
from services.feature_stream.link import Command, RedisLink

__all__ = ["QueueState", "queue_state"]

_COMMANDS_PER_STREAM = 3


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
