"""What can go wrong between a worker and Redis, for callers that know nothing of Redis."""

from __future__ import annotations

__all__ = ["GroupMissing", "StreamFull", "StreamUnavailable"]


class StreamUnavailable(Exception):  # noqa: N818 - says what is the case
    """Redis cannot be reached, does not answer in time, loads, or refuses: try again later."""


class StreamFull(Exception):  # noqa: N818 - says what is the case
    """Redis is at its memory limit and refuses what would enlarge it: shed, and try again later."""


class GroupMissing(StreamUnavailable):
    """The consumer group is gone, because Redis was wiped: create it again."""
