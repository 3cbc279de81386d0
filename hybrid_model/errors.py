"""The root of every error that this project raises on purpose."""

from __future__ import annotations

__all__ = ["DewpointError"]


class DewpointError(Exception):
    """Something is not as it must be, and a person can mend it: the message is one line with cause and remedy.

    A command that ends with one prints that line and no traceback. What is none is a bug, or an `OSError`.
    """
