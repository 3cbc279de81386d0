"""What somebody asks for; whatever is not asked for is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_model.errors import DewpointError
from hybrid_model.planning.edge_budget import EdgeBudget

__all__ = ["PictureWishes", "PlanError"]


class PlanError(DewpointError, ValueError):
    """Wishes that cannot be met, or not together; the message says which and what to do."""


@dataclass(frozen=True)
class PictureWishes:
    """For a network of pictures; None where it is to be chosen.

    size: side of the input in pixels. width: channels of the first edge units. edge_bits: of the edge's weights and
    activations. minutes: how long the training may take. start: a bundle to start from, or "none". mirror: whether
    pictures are mirrored at random.
    """

    minutes: float = 10.0
    minutes_given: bool = False
    seed: int = 0
    size: int | None = None
    width: int | None = None
    edge_bits: int | None = None
    edge_budget: EdgeBudget | None = None
    start: str | None = None
    mirror: bool | None = None
