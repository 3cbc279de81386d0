"""The way up to the cloud workers, and the way back of their replies."""

from services.edge.escalate.escalations import Escalations
from services.edge.escalate.maker import EscalationMaker

__all__ = ["EscalationMaker", "Escalations"]
