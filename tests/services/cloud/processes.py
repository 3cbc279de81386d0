"""Cloud workers as processes, with a stand-in for the network; killed at the end of the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self


class StandIns:
    """Workers on one Redis. They answer each hard sample with a class that its features name."""

    def __init__(self, redis_port: int, folder: Path) -> None:
        self._redis_port, self._folder = redis_port, folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self, count: int = 1, **cloud: object) -> None:
        """Start so many more."""
        for _ in range(count):
            self._started += 1
            config = self._folder / f"cloud-{self._started}.toml"
            chosen = {"bundles": ["digits"], "lease_s": 1.0, "linger_ms": 1} | cloud
            lines = ["[cloud]", *(f"{key} = {value!r}" for key, value in chosen.items())]
            config.write_text("\n".join([*lines, "[redis]", f"port = {self._redis_port}", "[log]", 'level = "error"']))
            command = [sys.executable, "-m", "tests.services.cloud.stand_in", str(config)]
            self._running.append(subprocess.Popen(command))

    def kill(self) -> None:
        """SIGKILL all of them at once."""
        running, self._running = self._running, []
        for process in running:
            process.kill()
        for process in running:
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
