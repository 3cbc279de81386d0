"""Labels: made from decisions, turned final, and handed to the sinks."""

from services.edge.publish.finals import Finals
from services.edge.publish.labels import LabelMaker
from services.edge.publish.outbox import Outbox

__all__ = ["Finals", "LabelMaker", "Outbox"]
