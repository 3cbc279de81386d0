"""The stream of hard samples between edge and cloud workers: entries, leases, replies, dead letters, in Redis.

An escalation is an entry of its network's stream until a cloud worker answers it; the answer removes it and adds a
reply to the stream of the edge worker that sent it. What goes wrong is StreamUnavailableError or StreamFullError.
"""

from services.feature_stream.cloud import CloudFeatures
from services.feature_stream.edge import EdgeFeatures, ReplyEntry
from services.feature_stream.entries import Answer, Burial, Delivery, EntryState, Missed, one_line
from services.feature_stream.keys import Stream, partition_of
from services.feature_stream.link import StreamFullError, StreamUnavailableError
from services.feature_stream.streams import QueueState

__all__ = [
    "Answer",
    "Burial",
    "CloudFeatures",
    "Delivery",
    "EdgeFeatures",
    "EntryState",
    "Missed",
    "QueueState",
    "ReplyEntry",
    "Stream",
    "StreamFullError",
    "StreamUnavailableError",
    "one_line",
    "partition_of",
]
