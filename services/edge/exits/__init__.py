"""By which thresholds a sample is decided, and what moves them."""

from services.edge.exits.control import ExitControl
from services.edge.exits.set_points import SetPoints

__all__ = ["ExitControl", "SetPoints"]
