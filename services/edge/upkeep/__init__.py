"""What goes on between batches: housekeeping and limits; and the watchdog over all of it."""

from services.edge.upkeep.housekeeping import Housekeeping
from services.edge.upkeep.watchdog import Watchdog

__all__ = ["Housekeeping", "Watchdog"]
