"""All that runs in a chaos run, and the ways to break it: servers, workers, and the links between them."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from hybrid_model import bundle
from services.demo.configuration import write
from services.demo.processes import WorkerError, WorkerProcess
from services.edge.journal.samples import Journal
from services.feature_stream import StreamUnavailableError
from services.feature_stream.dead import DeadLetters
from services.servers import Servers, free_port
from services.settings import RedisSettings
from tests.chaos.poison import PAYLOAD_BYTES_MAX
from tests.chaos.processes import Worker
from tests.chaos.proxy import Proxy
from tests.chaos.readings import HOP, LENGTH
from tests.rejected import rejections

SITE = "chaos"
_START_TIMEOUT_S = 180.0
_SERVER_TIMEOUT_S = 90.0
_TICK_S = 0.05
# Thresholds under which about half of the samples are hard.
_THRESHOLDS = {"digits": [0.004], "har": [0.08]}


@dataclass(frozen=True)
class Lane:
    """An input of an edge worker: devices that publish below a topic level of their own, and the network for them.

    Lanes of one `edge` belong to one worker; the first of them names its first network.
    """

    name: str
    network: str
    edge: str

    @property
    def topic(self) -> str:
        """Where its devices publish."""
        return f"dewpoint/{SITE}/in/{self.name}/{{device}}"


class Plant:
    """Servers and workers, each worker behind links of its own, from `with` to the end of its block.

    Use it from one thread that lives as long: Linux ends the processes with the thread that started them.

    Args:
        folder: Where everything keeps its files.
        lanes: Inputs; those of one edge belong to one worker.
        clouds: Number of cloud workers.
        rng: Which victim a fault takes, and how long it lasts.

    Raises:
        ServerMissingError: Mosquitto or Redis is not installed.
        ServerError, WorkerError: from `with`, where something does not come up.
    """

    def __init__(self, folder: Path, lanes: Sequence[Lane], *, clouds: int, rng: random.Random) -> None:
        self.folder, self.lanes = folder, tuple(lanes)
        self.servers = Servers(broker="mosquitto", folder=folder / "servers")
        self.edges: list[Worker] = []
        self.clouds: list[Worker] = []
        self.events: Counter[str] = Counter()
        self.on_poison: Callable[[], None] = lambda: None
        self._clouds, self._rng = clouds, rng
        self._stack = ExitStack()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._dead_letters_wiped = 0

    @property
    def workers(self) -> list[Worker]:
        """All of them."""
        return [*self.edges, *self.clouds]

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self.servers)
            self._redis = self._stack.enter_context(redis.Redis(port=self.servers.redis.port, socket_timeout=10))
            edges = dict.fromkeys(lane.edge for lane in self.lanes)
            self.edges = [self._edge(edge, [lane for lane in self.lanes if lane.edge == edge]) for edge in edges]
            self.clouds = [self._cloud(f"cloud-{number + 1}") for number in range(self._clouds)]
            for worker in self.workers:
                self._stack.callback(worker.stop)
                worker.start()
            self._stack.callback(self._ask_all_to_stop)
            self._await_ready()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # Faults. Each method does it, counts it, and lets it pass; a fault that has no victim now is none.

    def strike(self, kind: str) -> None:
        """Let a fault of this kind happen."""
        if getattr(self, f"_{kind}")():
            self.events[kind] += 1

    def tend(self) -> None:
        """Do what is due: start what was stopped, and workers that have ended. Call it often."""
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for worker in self.workers:
            worker.tend()

    def heal(self) -> None:
        """Let nothing be wrong any more."""
        while self._due:
            heapq.heappop(self._due)[2]()
        for worker in self.workers:
            for link in worker.links.values():
                link.heal()

    def _edge_killed(self) -> bool:
        return self._rng.choice(self.edges).kill()

    def _cloud_killed(self) -> bool:
        return self._rng.choice(self.clouds).kill()

    def _redis_restarted(self) -> bool:
        return self._redis_down(hard=False)

    def _redis_killed(self) -> bool:
        return self._redis_down(hard=True)

    def _redis_down(self, *, hard: bool) -> bool:
        server, down_s = self.servers.redis, self._rng.uniform(0.0, 3.0)
        if not server.running:
            return False
        if hard:
            server.kill()
        else:
            server.stop(timeout_s=_SERVER_TIMEOUT_S)
        self._later(down_s, lambda: server.start(timeout_s=_SERVER_TIMEOUT_S))
        return True

    def _redis_wiped(self) -> bool:
        """FLUSHALL: connections stay open; entries, notes, group, registry and replies are gone."""
        if not self.servers.redis.running:
            return False
        self._dead_letters_wiped += self._dead_letters()
        self._redis.flushall()
        return True

    def _redis_wiped_and_clouds_killed(self) -> bool:
        if not self._redis_wiped():
            return False
        for worker in self.clouds:
            worker.kill()
        return True

    def _mosquitto_restarted(self) -> bool:
        server, down_s = self.servers.mqtt, self._rng.uniform(0.0, 2.0)
        if not server.running:
            return False
        server.stop(timeout_s=_SERVER_TIMEOUT_S)  # it saves what it holds
        self._later(down_s, lambda: server.start(timeout_s=_SERVER_TIMEOUT_S))
        return True

    def _link_cut(self) -> bool:
        self._any_link().cut(self._rng.choice((0.0, self._rng.uniform(0.2, 4.0))))
        return True

    def _link_delayed(self) -> bool:
        self._any_link().delay(self._rng.uniform(0.02, 2.5), self._rng.uniform(1.0, 5.0))
        return True

    def _poison(self) -> bool:
        self.on_poison()
        return True

    def _any_link(self) -> Proxy:
        return self._rng.choice([link for worker in self.workers for link in worker.links.values()])

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), do))

    # What is left in the end

    def rejected(self) -> list[bytes]:
        """Hashes of all messages that the edges' journals list as rejected."""
        found: list[bytes] = []
        for worker in self.edges:
            assert worker.spool is not None
            found += [each.hash for each in rejections(worker.spool / "journal.sqlite")]
        return found

    def unpublished(self) -> int:
        """Rows of the edges' journals that still wait for an answer, or whose label is not acknowledged."""
        count = 0
        for worker in self.edges:
            assert worker.spool is not None
            with Journal(worker.spool / "journal.sqlite") as journal:
                count += journal.counts["waiting"] + journal.counts["final"]
        return count

    def dead_letters(self) -> int:
        """Dead letters now, and those that were wiped away."""
        return self._dead_letters_wiped + self._dead_letters()

    def _dead_letters(self) -> int:
        letters = DeadLetters(RedisSettings(port=self.servers.redis.port, timeout_s=10.0))
        try:
            return sum(1 for _ in letters.ids())
        except StreamUnavailableError:
            return 0
        finally:
            with contextlib.suppress(StreamUnavailableError):
                letters.close()

    # Parts

    def _edge(self, name: str, lanes: Sequence[Lane]) -> Worker:
        links = {"mqtt": Proxy(self.servers.mqtt.port), "redis": Proxy(self.servers.redis.port)}
        spool = self.folder / f"spool-{name}"
        networks = {lane.network: str(bundle.resolve(lane.network)) for lane in lanes}
        edge = {
            "bundle": networks[lanes[0].network],
            "worker": f"edge-{name}",
            "spool": str(spool),
            "networks": [{"bundle": path, "thresholds": _THRESHOLDS[each]} for each, path in networks.items()],
            "inputs": [self._input(lane) for lane in lanes],
        }
        return self._worker(f"edge-{name}", "services.edge", {"edge": edge}, links, spool)

    def _input(self, lane: Lane) -> dict[str, Any]:
        takes = {"topic": lane.topic, "kind": "sample", "bundle": str(bundle.resolve(lane.network))}
        if lane.network == "har":
            takes |= {"kind": "sensor", "window": {"length": LENGTH, "hop": HOP}}
        return takes

    def _cloud(self, name: str) -> Worker:
        cloud = {
            "bundles": [str(bundle.resolve(network)) for network in sorted({lane.network for lane in self.lanes})],
            "worker": name,
            "threads": 1,
            "lease_s": 5.0,
        }
        return self._worker(name, "services.cloud", {"cloud": cloud}, {"redis": Proxy(self.servers.redis.port)})

    def _worker(
        self, name: str, module: str, sections: dict[str, Any], links: dict[str, Proxy], spool: Path | None = None
    ) -> Worker:
        port = free_port()
        backoff = {"backoff_min_s": 0.1, "backoff_max_s": 1.0}
        common = {
            "site": {"name": SITE},
            "mqtt": {"port": links["mqtt"].port, **backoff} if "mqtt" in links else {},
            "redis": {"port": links["redis"].port},
            "metrics": {"port": port},
            "limits": {"payload_bytes_max": PAYLOAD_BYTES_MAX},
        }
        config = write(self.folder / f"{name}.toml", {**common, **sections})
        return Worker(
            WorkerProcess(name=name, module=module, arguments=["--config", str(config)], folder=self.folder),
            port,
            links,
            spool,
        )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        waiting = list(self.workers)
        while waiting:
            for worker in waiting:
                worker.process.check()
            waiting = [worker for worker in waiting if not worker.ready()]
            if waiting and time.monotonic() > deadline:
                late = waiting[0].process
                raise WorkerError(f"{late.name} was not ready within {_START_TIMEOUT_S:g} s:\n{late.log_tail()}")
            time.sleep(_TICK_S)

    def _ask_all_to_stop(self) -> None:
        for worker in self.workers:
            worker.process.ask_to_stop()
