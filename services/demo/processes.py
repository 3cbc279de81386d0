"""Worker processes of a demonstration: each in a session of its own, stopped with SIGTERM, killed if it lingers."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hybrid_model.errors import DewpointError

_STOP_TIMEOUT_S = 15.0
_LOG_TAIL_BYTES = 2000
_ASK_TIMEOUT_S = 1.0

# The kernel ends the worker when the demonstration is killed. A program of its own rather than preexec_fn, which may
# deadlock where the parent has threads; the death signal survives into the module that it runs.
_LAUNCHER = """
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this worker has ended")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class WorkerError(DewpointError):
    """A worker ended when it should not have; the message holds the end of its log."""


class WorkerProcess:
    """`python -m MODULE ARGS`, its outputs in one log file.

    Args:
        name: What it is called in messages, and the log's file name.
        module: The module to run.
        arguments: Its command line.
        folder: Where the log lies.

    Start it from a thread that lives as long as the worker: Linux ends the worker with that thread.
    """

    def __init__(self, *, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._command = ["-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, once it was started."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the process; it is not ready yet when this returns."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the demonstration, which stops all in order
            )
        return self

    def check(self) -> None:
        """Raises WorkerError if the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise WorkerError(f"{self.name} ended with status {self._process.returncode}:\n{self.log_tail()}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait, so that several workers drain at once."""
        if self.running and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the process, with SIGTERM first."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log_tail(self) -> str:
        """The end of what the process wrote."""
        try:
            return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ready(metrics_port: int) -> bool:
    """Ask a worker on this machine by HTTP, on the port of its metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=_ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    """Ours, without what would change the worker's settings: they are in its file."""
    return {name: value for name, value in os.environ.items() if "__" not in name or not name.startswith("DEWPOINT_")}
