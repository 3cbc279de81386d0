"""The console beside a demonstration: a process of its own, without which the demonstration goes on."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.demo.processes import WorkerProcess
from services.servers import free_port

__all__ = ["LivePage", "page_port"]

_USUAL_PORT: Final = 8080
_START_TIMEOUT_S: Final = 30.0
#: What the console logs once the port is its own: whatever else answers there before is somebody else's.
_STARTED: Final = "console_started"


def page_port() -> int:
    """The usual port of the console, or another where that is taken."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", _USUAL_PORT))
        return _USUAL_PORT
    return free_port()


class LivePage:
    """`python -m services.console` on this machine. Where NiceGUI is not installed, nothing runs and `told` says so.

    Args:
        config: Its settings.
        port: The port that they name.
        folder: Where its log lies.
    """

    def __init__(self, *, config: Path, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._installed = importlib.util.find_spec("nicegui") is not None
        self._process = WorkerProcess(
            name="console", module="services.console", arguments=["--config", str(config)], folder=folder
        )

    def told(self) -> str:
        """Where the page is, once it answers; or why there is none."""
        if not self._installed:
            return "no console: NiceGUI is not installed (pip install 'dewpoint[console]')"
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self._process.running and time.monotonic() < deadline:
            if _STARTED in self._process.log_tail():
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1.0):
                    return f"console: {self.url}"
            time.sleep(0.05)
        if self._process.running:
            return f"console: {self.url} (it has not answered yet)"
        return f"no console; it ended: {self._process.log_tail().strip()}"

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        self._process.ask_to_stop()

    def __enter__(self) -> Self:
        if self._installed:
            self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
