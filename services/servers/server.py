"""A server as a process of its own: started, ready, stopped, restarted, and never left behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from hybrid_model.errors import DewpointError

__all__ = ["Server", "ServerError", "free_port"]

_LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_PROBE_TIMEOUT_S = 1.0
_PROBE_PAUSE_S = 0.02
_START_ATTEMPTS = 3
_LOG_TAIL_BYTES = 2000
_PORTS = (15_000, 32_000)
_PORT_ATTEMPTS = 200


class ServerError(DewpointError):
    """A server ended or did not answer in time while it started; the message holds the end of its log."""


class Server(ABC):
    """One server process on a loopback port, with its files in one folder.

    The port is chosen at the first start and kept over restarts. ``start`` returns only when the server answers its
    own protocol. Start it from a thread that lives as long as the server: Linux ends the server with that thread.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path, *, port: int | None = None, executable: Path | None = None) -> None:
        self.host = _LOOPBACK
        self.folder = folder
        self.executable = executable if executable is not None else self.find()
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    @property
    def port(self) -> int:
        """TCP port on the loopback address. Raises RuntimeError before the first start."""
        if self._port is None:
            raise RuntimeError(f"{self.name} has no port before its first start")
        return self._port

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id while the server runs."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def log_path(self) -> Path:
        """What the server wrote to its outputs."""
        return self.folder / f"{self.name}.log"

    def start(self, *, timeout_s: float = _START_TIMEOUT_S) -> Self:
        """Start the process and wait until it answers. Raises ServerError."""
        with self._lock:
            if self.running:
                return self
            self.folder.mkdir(parents=True, exist_ok=True)
            fixed_port = self._port is not None
            for attempt in range(_START_ATTEMPTS):
                if not fixed_port:
                    # Somebody may take the port between our look and the server's bind: then another is tried.
                    self._port = free_port()
                try:
                    self._launch(timeout_s)
                    return self
                except ServerError:
                    if fixed_port or attempt == _START_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def stop(self, *, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """End the process with SIGTERM, which lets it save its data; with SIGKILL once `timeout_s` have passed."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End the process with SIGKILL and wait for its end."""
        self._end(signal.SIGKILL, _STOP_TIMEOUT_S)

    def restart(self, *, hard: bool = False, wipe: bool = False, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Stop (with SIGKILL if `hard`) and start again on the same port; `wipe` removes the stored data between."""
        with self._lock:
            if hard:
                self.kill()
            else:
                self.stop()
            if wipe:
                self.wipe()
            self.start(timeout_s=timeout_s)

    def wipe(self) -> None:
        """Remove the stored data of a stopped server."""
        if self.running:
            raise RuntimeError(f"{self.name} is running; stop it before its data are removed")
        shutil.rmtree(self._data_folder, ignore_errors=True)

    def log_tail(self) -> str:
        """The end of the server's log."""
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

    @property
    def _data_folder(self) -> Path:
        return self.folder / f"{self.name}-data"

    def _launch(self, timeout_s: float) -> None:
        self._data_folder.mkdir(parents=True, exist_ok=True)
        command = self._command()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        atexit.register(self.stop)
        try:
            self._wait_until_ready(timeout_s)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.running:
                raise ServerError(f"{self.name} ended while it started:\n{self.log_tail()}")
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not answer within {timeout_s:g} s:\n{self.log_tail()}")
            time.sleep(_PROBE_PAUSE_S)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=_PROBE_TIMEOUT_S) as connection:
                connection.settimeout(_PROBE_TIMEOUT_S)
                return self._probe(connection)
        except OSError:
            return False

    def _end(self, first_signal: signal.Signals, timeout_s: float) -> None:
        with self._lock:
            process, self._process = self._process, None
            atexit.unregister(self.stop)
            if process is None:
                return
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(first_signal)
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_TIMEOUT_S)

    @classmethod
    @abstractmethod
    def find(cls) -> Path:
        """Where the executable lies. Raises ServerMissingError."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _probe(self, connection: socket.socket) -> bool: ...


def free_port() -> int:
    """A TCP port that is free on the loopback address now."""
    # Below the range from which kernels take the ports of outgoing connections: one of those could sit on the port
    # while its server restarts, and a client that tries a closed port of that range can even connect to itself.
    for port in random.sample(range(*_PORTS), _PORT_ATTEMPTS):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((_LOOPBACK, port))
            return port
    raise ServerError(f"no free port among {_PORT_ATTEMPTS} tried on {_LOOPBACK}")


# Runs in the new process and becomes the server. The kernel then kills the server when its parent dies, however it
# dies. A program of its own, not preexec_fn, which may deadlock when the parent has threads.
_LAUNCHER = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes, signal
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started this server has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""
