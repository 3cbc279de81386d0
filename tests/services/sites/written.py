"""A site that `dewpoint new` wrote, and its servers, started with the very files that it wrote."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.servers import MosquittoBroker, RedisServer, free_port
from services.sites import SiteWish, plan_site, write_site
from services.sites.facts import Facts, find_facts
from services.sites.plan import SitePlan


def planned(folder: Path, *, facts: Facts | None = None, **wish: Any) -> SitePlan:
    """A site in `folder` on ports that no other test takes, with units, whether or not this machine has systemd."""
    plan = plan_site(SiteWish(folder, **wish), facts or dataclasses.replace(find_facts(), systemd=True))
    ours = {name: free_port() for name in ("devices", "workers", "redis", "console", "edge_metrics")}
    ports = dataclasses.replace(plan.ports, **ours, cloud_metrics=(free_port(),))  # type: ignore[arg-type]
    return dataclasses.replace(plan, ports=ports)


def written(folder: Path, **wish: Any) -> SitePlan:
    """The same, written."""
    plan = planned(folder, **wish)
    write_site(plan)
    return plan


class WrittenMosquitto(MosquittoBroker):
    """Mosquitto with the site's configuration."""

    def __init__(self, plan: SitePlan) -> None:
        super().__init__(plan.folder / "data", port=plan.ports.workers)
        self._config = plan.folder / "mosquitto/mosquitto.conf"

    def _command(self) -> list[str]:
        return [str(self.executable), "-c", str(self._config)]

    def _probe(self, connection: socket.socket) -> bool:
        return True  # it listens; whether it lets anybody in, the tests see


class WrittenRedis(RedisServer):
    """redis-server with the site's configuration."""

    def __init__(self, plan: SitePlan) -> None:
        assert plan.facts.redis_server is not None
        super().__init__(plan.folder / "data", port=plan.ports.redis, executable=plan.facts.redis_server)
        self._config = plan.folder / "redis/redis.conf"

    def _command(self) -> list[str]:
        return [str(self.executable), str(self._config)]

    def _probe(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"-NOAUTH")


@contextmanager
def worker(kind: str, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dewpoint edge` or `dewpoint cloud` on a settings file."""
    with (config.parent / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{kind}", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
