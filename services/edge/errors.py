"""What keeps an edge worker from starting."""

from __future__ import annotations

__all__ = ["EdgeError"]


class EdgeError(Exception):
    """The edge worker cannot start or go on; the message is one line with cause and remedy."""
