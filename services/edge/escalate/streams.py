"""The feature streams of one of a worker's networks: its own, and older ones that rows still wait for."""

from __future__ import annotations

from collections.abc import Iterable

from services.feature_stream import EdgeFeatures
from services.security.feature_keys import FeatureKeys
from services.settings import RedisSettings

__all__ = ["StreamKey", "Streams"]

StreamKey = tuple[str, int]


class Streams:
    """One EdgeFeatures for each (network id, partitions). Not for use by several threads before it is complete."""

    def __init__(
        self,
        *,
        settings: RedisSettings,
        network_id: str,
        awaited: Iterable[StreamKey],
        site: str,
        worker: str,
        keys: FeatureKeys | None = None,
    ) -> None:
        self.network_id = network_id
        self.current_key: StreamKey = (network_id, settings.partitions)
        self.by_key = {
            (network, partitions): EdgeFeatures(
                settings, network_id=network, partitions=partitions, site=site, worker=worker, keys=keys
            )
            for network, partitions in {self.current_key, *awaited}
        }
        self.current = self.by_key[self.current_key]
        self.older = [features for key, features in self.by_key.items() if key != self.current_key]

    def register(self) -> None:
        """Enter all of them into the registry, and keep their replies. Raises StreamUnavailableError."""
        self.current.register(key for key in self.by_key if key != self.current_key)
        for features in self.older:
            features.keep_replies()

    def close(self) -> None:
        """Close all connections."""
        for features in self.by_key.values():
            features.close()
