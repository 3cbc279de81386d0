"""Recipes for somebody's own data: everything that was not given is chosen from the data, with a reason."""

from hybrid_model.planning.choice import Choice
from hybrid_model.planning.edge_budget import BudgetError, EdgeBudget, parse_budget
from hybrid_model.planning.picture_network import PictureNetwork, choose_network
from hybrid_model.planning.picture_training import plan_pictures
from hybrid_model.planning.plan import Plan
from hybrid_model.planning.readings import PlanningError, edge_bytes, plan_readings
from hybrid_model.planning.teaching import taught_by_model
from hybrid_model.planning.wishes import PictureWishes, PlanError

__all__ = [
    "BudgetError",
    "Choice",
    "EdgeBudget",
    "PictureNetwork",
    "PictureWishes",
    "Plan",
    "PlanError",
    "PlanningError",
    "choose_network",
    "edge_bytes",
    "parse_budget",
    "plan_pictures",
    "plan_readings",
    "taught_by_model",
]
