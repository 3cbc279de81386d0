"""Edge workers as processes of their own, which tests may kill, break from within, and supervise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.messages import Status
from services.servers import free_port
from tests.services.edge.site import SITE, UNGUARDED, Site

RUN = "from services import settings; from services.edge import process; process.run(settings.load())"


class EdgeProcess:
    """One worker, in one process after another.

    Args:
        site: The servers that it talks to, and who listens.
        spool: Its spool.
        edge: Settings of [edge].
        code: What the process runs; the worker alone by default.
        arguments: If any, the process is `python -m services.edge` with these.
        environment: More of it.
    """

    def __init__(
        self,
        site: Site,
        spool: Path,
        edge: Mapping[str, Any] | None = None,
        *,
        code: str = RUN,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.site, self.spool = site, spool
        self.metrics_port = free_port()
        self.ended: list[int] = []
        self._command = ["-m", "services.edge", *arguments] if arguments else ["-c", code]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DEWPOINT_")}
        sections = {
            "site": {"name": SITE},
            "mqtt": {"port": site.broker.port, "backoff_min_s": 0.05, "backoff_max_s": 0.2},
            "redis": {"port": site.redis.port, "timeout_s": 1.0},
            "metrics": {"port": self.metrics_port},
            "edge": {"spool": str(spool), "worker": "edge-1", "linger_ms": 0.5, **UNGUARDED, **(edge or {})},
        }
        ours = {
            f"DEWPOINT_{section.upper()}__{key.upper()}": value if isinstance(value, str) else json.dumps(value)
            for section, values in sections.items()
            for key, value in values.items()
        }
        self._environment = {**kept, **ours, **(environment or {})}
        self._log_path = site.folder / f"worker-{self.metrics_port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all its processes have written."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def start(self) -> None:
        """Start a process; `online` tells when it works."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, *self._command], stderr=log, env=self._environment)

    def online(self) -> bool:
        """Whether the worker does its work."""
        return self.check("/readyz")[0] == 200

    def supervise(self) -> bool:
        """Note how the process ended, if it did, and start it again. True, to be used in conditions."""
        assert self._process is not None
        if self._process.poll() is not None:
            self.ended.append(self._process.returncode)
            self.start()
        return True

    def wait(self, timeout_s: float = 60) -> int:
        """Wait until the process has ended: its status."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and its end in order."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(60) == 0, self.log

    def check(self, path: str) -> tuple[int, list[str]]:
        """/healthz or /readyz: the HTTP status and what it says is wrong; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)["reasons"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["reasons"]
        except OSError:
            return 0, []

    def count(self, name: str, **labels: str) -> float:
        """A metric of the process that runs; 0 where it was never moved."""
        told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        wanted = f"dewpoint_{name}" + (f"{{{told}}}" if told else "")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(wanted + " "):
                    return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def edge_process(site: Site, spool: Path, edge: Mapping[str, Any] | None = None, **how: Any) -> Iterator[EdgeProcess]:
    """A worker process that runs and is killed at the end of the block."""
    worker = EdgeProcess(site, spool, edge, **how)
    worker.start()
    try:
        yield worker
    finally:
        worker.kill()


def states(site: Site) -> list[str]:
    """The states that were told by all workers."""
    return [Status.decode(one).state for one in site.statuses]
