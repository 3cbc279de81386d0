"""One thing that was chosen, and why."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """What was chosen (`name`), to what, and the reason, as people read it. `given`: it was asked for, not chosen."""

    name: str
    value: str
    reason: str
    given: bool = False
