"""What all parts of the page share: the state, and the ways out of it."""

from __future__ import annotations

from dataclasses import dataclass

from services.console.collect.feed import Feed
from services.console.collect.letters import Letters
from services.console.state.state import State

__all__ = ["Desk"]


@dataclass(frozen=True)
class Desk:
    """What a page works with. `site` is the site's name."""

    site: str
    state: State
    feed: Feed
    letters: Letters
