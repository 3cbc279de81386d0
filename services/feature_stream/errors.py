"""What can go wrong between a worker and Redis, for callers that know nothing of Redis."""

from __future__ import annotations

from hybrid_model.errors import DewpointError

__all__ = ["GroupMissingError", "StreamFullError", "StreamUnavailableError"]


class StreamUnavailableError(DewpointError):
    """Redis cannot be reached, does not answer in time, loads, or refuses: try again later."""


class StreamFullError(StreamUnavailableError):
    """Redis is at its memory limit and refuses what would enlarge it: try again later."""


class GroupMissingError(StreamUnavailableError):
    """The consumer group is gone, because Redis was wiped: create it again."""
