"""Design-space exploration: many variants of a recipe, trained and measured, and which of them nothing else beats."""

from hybrid_model.exploration.curve import WorkingPoint, pareto_front
from hybrid_model.exploration.space import ExplorationError, Space, load_space, space_names
from hybrid_model.exploration.study import Exploration

__all__ = [
    "Exploration",
    "ExplorationError",
    "Space",
    "WorkingPoint",
    "load_space",
    "pareto_front",
    "space_names",
]
