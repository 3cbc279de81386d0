"""A recipe for somebody's own data, and what was chosen for it."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_model.planning.choice import Choice
from hybrid_model.training import Recipe

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """The recipe, and every choice in it, in the order in which people want to read them."""

    recipe: Recipe
    choices: tuple[Choice, ...]
