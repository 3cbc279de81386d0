"""Worker processes under a supervisor: whatever ends one, it is started again after a pause."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from services.demo.processes import WorkerProcess, ready
from tests.chaos.proxy import Proxy

_PAUSE_S = 0.5


@dataclass
class Worker:
    """A supervised edge or cloud worker, and the links by which it reaches its servers ("mqtt", "redis")."""

    process: WorkerProcess
    metrics_port: int
    links: dict[str, Proxy]
    spool: Path | None = None
    starts: int = 0
    _ended_at: float | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.process.name

    def start(self) -> None:
        """Start the first process."""
        for proxy in self.links.values():
            proxy.start()
        self.starts = 1
        self.process.start()

    def kill(self) -> bool:
        """SIGKILL. False where no process runs at the moment."""
        if not self.process.running:
            return False
        self.process.kill()
        return True

    def tend(self) -> None:
        """Start it again if it has ended some time ago."""
        if self.process.running:
            self._ended_at = None
        elif self._ended_at is None:
            self._ended_at = time.monotonic()
        elif time.monotonic() - self._ended_at >= _PAUSE_S:
            self._ended_at = None
            self.starts += 1
            self.process.start()

    def ready(self) -> bool:
        """Whether it says that it works."""
        return self.process.running and ready(self.metrics_port)

    def stop(self) -> None:
        """SIGTERM, and its end; then the links'."""
        self.process.stop()
        for proxy in self.links.values():
            proxy.stop()
