"""What can be wrong with a source."""

from __future__ import annotations

from hybrid_model.errors import DewpointError


class SourceError(DewpointError):
    """A source cannot replay what was asked for; the message says why and what to do."""
