"""Recipes for somebody's own data: everything that was not given is chosen from the data, with a reason."""

from hybrid_model.planning.choice import Choice
from hybrid_model.planning.plan import Plan

__all__ = ["Choice", "Plan"]
