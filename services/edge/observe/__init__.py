"""What is seen of decisions: metrics, drift, audits, recent inputs and their explanations."""

from services.edge.observe.explain_routes import ExplainRoutes
from services.edge.observe.observer import NetworkObserver

__all__ = ["ExplainRoutes", "NetworkObserver"]
