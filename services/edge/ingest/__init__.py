"""From MQTT messages to whole samples: the inbox, the quarantine, decoding, windows of readings."""

from services.edge.ingest.inbox import Inbox
from services.edge.ingest.quarantine import Quarantine
from services.edge.ingest.samples import WholeSamples

__all__ = ["Inbox", "Quarantine", "WholeSamples"]
