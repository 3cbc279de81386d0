"""By which thresholds a sample is decided, and what moves them."""

from services.edge.exits.control import ExitControl

__all__ = ["ExitControl"]
