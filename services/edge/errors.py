"""What keeps an edge worker from starting."""

from __future__ import annotations

__all__ = ["EdgeError", "StorageFailed"]


class EdgeError(Exception):
    """The edge worker cannot start or go on; the message is one line with cause and remedy."""


class StorageFailed(Exception):  # noqa: N818 - says what is the case
    """The spool's disk is full or fails, and nothing was stored: try again. The message is one line with the cause."""
