"""What can be wrong with a source."""

from __future__ import annotations


class SourceError(Exception):
    """A source cannot replay what was asked for; the message says why and what to do."""
