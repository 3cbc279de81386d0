"""What keeps an edge worker from starting."""

from __future__ import annotations

from hybrid_model.errors import DewpointError

__all__ = ["EdgeError", "StorageError"]


class EdgeError(DewpointError):
    """The edge worker cannot start or go on; the message is one line with cause and remedy."""


class StorageError(DewpointError):
    """The spool's disk is full or fails, and nothing was stored: try again. The message is one line with the cause."""
