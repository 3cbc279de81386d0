"""The edge half of one network at work: all of a worker's parts that belong to this network alone."""

from __future__ import annotations

from dataclasses import dataclass

from services.edge.escalate import Escalations
from services.edge.exits import ExitControl
from services.edge.networks import EdgeNetwork
from services.edge.observe import NetworkObserver
from services.edge.publish import LabelMaker
from services.edge.repeats import Repeats

__all__ = ["EdgeHalf"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EdgeHalf:
    """Decides by its own exits, makes labels, sends up into its own streams, and is watched by itself."""

    network: EdgeNetwork
    exits: ExitControl
    labels: LabelMaker
    escalations: Escalations
    observer: NetworkObserver
    repeats: Repeats
