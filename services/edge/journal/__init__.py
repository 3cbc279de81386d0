"""What the edge has decided, on disk before anyone hears of it: the spool, its journal, and the state of its disk."""

from services.edge.journal.disk import Disk
from services.edge.journal.samples import Journal
from services.edge.journal.spool import Spool

__all__ = ["Disk", "Journal", "Spool"]
