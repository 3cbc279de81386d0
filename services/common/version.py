"""Which version of the project this is."""

from __future__ import annotations

import importlib.metadata

__all__ = ["own_version"]


def own_version() -> str:
    """Ours; "" in a checkout that is not installed."""
    try:
        return importlib.metadata.version("dewpoint")
    except importlib.metadata.PackageNotFoundError:
        return ""
