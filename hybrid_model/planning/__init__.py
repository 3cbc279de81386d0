"""Recipes for somebody's own data: everything that was not given is chosen from the data, with a reason."""

from hybrid_model.planning.choice import Choice
from hybrid_model.planning.plan import Plan
from hybrid_model.planning.readings import PlanningError, edge_bytes, plan_readings

__all__ = ["Choice", "Plan", "PlanningError", "edge_bytes", "plan_readings"]
