"""Names in Redis. The braces are literal: a Redis Cluster keeps all keys of one partition on one node."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["GROUP", "REGISTRY", "Stream", "note", "partition_of", "streams_of"]

GROUP = "cloud"
REGISTRY = "dewpoint:registry"


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One partition of one network: the names of its keys."""

    network_id: str
    partition: int

    @property
    def name(self) -> str:
        """``NETWORK.PARTITION``, the member of the registry."""
        return f"{self.network_id}.{self.partition}"

    @property
    def features(self) -> str:
        """Stream of escalations."""
        return self._key("features")

    @property
    def notes(self) -> str:
        """Hash: note of a sample -> id of its entry, while that entry stands."""
        return self._key("notes")

    @property
    def runs(self) -> str:
        """Hash: entry id -> history of its lone runs."""
        return self._key("runs")

    @property
    def dead(self) -> str:
        """Stream of dead letters."""
        return self._key("dead")

    @property
    def dead_sizes(self) -> str:
        """List: the sum of the dead letters' bytes, then ``ID BYTES`` of each, the newest first."""
        return self._key("dead_sizes")

    @property
    def audit(self) -> str:
        """Stream of audits."""
        return self._key("audit")

    @property
    def unread(self) -> str:
        """Set: ids of the entries whose address nobody could read."""
        return self._key("unread")

    def replies(self, site: str, worker: str) -> str:
        """Stream of replies to one edge worker."""
        return self._key(f"replies:{site}:{worker}")

    def _key(self, kind: str) -> str:
        return f"dewpoint:{{{self.name}}}:{kind}"

    @classmethod
    def parse(cls, name: str) -> Stream:
        """The inverse of `name`. Raises ValueError."""
        network_id, _, partition = name.partition(".")
        return cls(network_id, int(partition))


def note(device: str, sample_id: str) -> bytes:
    """The hash field that stands for one sample; the length keeps device and id apart, whatever they contain."""
    return f"{len(device)}:{device}{sample_id}".encode()


def partition_of(device: str, partitions: int) -> int:
    """The partition of a device, the same in every process and version."""
    return zlib.crc32(device.encode()) % partitions


def streams_of(names: Iterable[bytes]) -> frozenset[Stream]:
    """Streams by their names. What is no name of a stream is left out."""
    streams: set[Stream] = set()
    for name in names:
        try:
            streams.add(Stream.parse(name.decode()))
        except ValueError:
            continue
    return frozenset(streams)
