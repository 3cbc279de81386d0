"""Who is measured: the null limit, Dewpoint, and the alternatives; each knows how it is started."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.pipeline.alternatives.broker import TOLD, Site
from benchmarks.pipeline.cells import DEEP, FULL, MAIN, NULL, OPEN, Cell
from benchmarks.pipeline.samples import samples_of
from hybrid_model import bundle as bundle_file
from services.demo import configuration
from services.demo.processes import WorkerProcess
from services.servers import Servers, free_port


@dataclass(frozen=True)
class Part:
    """One process of a stand: `role` is edge or cloud; `arguments` may name `{config}` and `{http_port}`."""

    role: str
    module: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stand:
    """One contestant on one network.

    `share`: of the samples that are hard; None where it makes no difference. `needs`: modules that must be there.
    `distributions`: what is installed for the edge and for the cloud, for the footprint.
    """

    name: str
    title: str
    net: str
    share: float | None
    cells: tuple[Cell, ...]
    parts: tuple[Part, ...]
    needs: tuple[str, ...] = ()
    protocol: str = "5"
    distributions: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """Its name with network and share."""
        share = "" if self.share is None else f" {self.share:.0%}"
        return f"{self.name} {self.net}{share}"

    def with_cells(self, cells: tuple[Cell, ...]) -> Stand:
        """The same, measured by other cells."""
        return replace(self, cells=cells)

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here; none where it can."""
        lacking = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f'not installed: pip install "dewpoint[bench]" ({", ".join(lacking)})' if lacking else None


@dataclass
class Running:
    """A stand whose processes are up: its site, and the process ids of each role."""

    site: str
    roles: dict[str, list[int]]
    processes: list[WorkerProcess]

    def check(self) -> None:
        """Raises WorkerError where a process has ended."""
        for process in self.processes:
            process.check()


@contextlib.contextmanager
def started(stand: Stand, site: str, servers: Servers, folder: Path) -> Iterator[Running]:
    """Its processes, started but not yet ready; stopped at the end."""
    folder.mkdir(parents=True)
    told = Site(
        name=site,
        net=stand.net,
        mqtt_port=servers.mqtt.port,
        redis_port=servers.redis.port,
        threshold=samples_of(stand.net).threshold(stand.share or 0.0),
        hard=samples_of(stand.net).hard_digests(stand.share or 0.0),
        protocol=stand.protocol,
        http_port=free_port(),
    )
    path = folder / "told.json"
    path.write_text(json.dumps(asdict(told)))
    with contextlib.ExitStack() as stack:
        running = Running(site, {}, [])
        for number, part in enumerate(stand.parts):
            config = _settings(part, stand, told, servers, folder)
            process = WorkerProcess(
                name=f"{part.role}-{number}",
                module=part.module,
                arguments=[each.format(config=config, http_port=told.http_port) for each in part.arguments],
                folder=folder,
            )
            with _environment(str(path)):
                stack.enter_context(process)
            assert process.pid is not None
            running.roles.setdefault(part.role, []).append(process.pid)
            running.processes.append(process)
        yield running


@contextlib.contextmanager
def _environment(path: str) -> Iterator[None]:
    """What processes that are started now are told."""
    os.environ[TOLD] = path
    try:
        yield
    finally:
        del os.environ[TOLD]


def _settings(part: Part, stand: Stand, told: Site, servers: Servers, folder: Path) -> Path | None:
    """The settings file of a worker of ours."""
    bundle = str(bundle_file.resolve(stand.net))
    common: dict[str, Any] = {
        "site": {"name": told.name},
        "mqtt": {"host": servers.mqtt.host, "port": servers.mqtt.port},
        "redis": {"host": servers.redis.host, "port": servers.redis.port},
        "log": {"level": "warning"},
    }
    if part.module == "services.edge":
        edge = {"bundle": bundle, "spool": str(folder / "spool"), "thresholds": [told.threshold], "guard": False}
        return configuration.write(folder / "edge.toml", {**common, "edge": edge})
    if part.module == "services.cloud":
        cloud = {"bundles": [bundle], "threads": 1}
        return configuration.write(folder / "cloud.toml", {**common, "cloud": cloud})
    return None


_OURS = Part("edge", "services.edge", ("--config", "{config}"))
_OUR_CLOUD = Part("cloud", "services.cloud", ("--config", "{config}"))
_CELERY = ("-A", "benchmarks.pipeline.alternatives.celery_app", "worker", "--concurrency", "1", "--loglevel", "WARNING")
_DRAMATIQ = ("benchmarks.pipeline.alternatives.dramatiq_app", "--processes", "1", "--threads", "1")
_FASTSTREAM = ("run", "benchmarks.pipeline.alternatives.faststream_app:app", "--log-level", "warning")
_UVICORN = ("benchmarks.pipeline.alternatives.sedna_server:app", "--port", "{http_port}", "--log-level", "warning")

#: Of the alternatives with a task queue: the edge's module, and how the cloud's process is started.
_QUEUES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "celery": ("(c) Celery on Redis", "benchmarks.pipeline.alternatives.celery_edge", _CELERY),
    "dramatiq": ("(d) Dramatiq on Redis", "benchmarks.pipeline.alternatives.dramatiq_edge", _DRAMATIQ),
    "faststream": ("(e) FastStream on Redis", "benchmarks.pipeline.alternatives.faststream_edge", _FASTSTREAM),
}
#: What `--only` takes.
NAMES = ("null", "dewpoint", "to_cloud", "int8_edge", *_QUEUES, "sedna")


def null_stand(protocol: str) -> Stand:
    """The null limit by one version of MQTT."""
    part = Part("edge", "benchmarks.pipeline.null")
    return Stand("null", f"null, MQTT {protocol}", "digits", None, NULL, (part,), protocol=protocol)


def stands(net: str, *, short: bool) -> list[Stand]:
    """Everybody who is measured on a network; `short`: only the cells that the table of ratios needs."""
    plain = {"edge": ("dewpoint",), "cloud": ("dewpoint[cloud]",)}
    made = []
    for share in (0.0, 0.2, 1.0):
        cells = (MAIN, OPEN, Cell(qos=0, in_flight=32)) if share == 0 else (DEEP,)
        parts = (_OURS,) if share == 0 else (_OURS, _OUR_CLOUD)
        made.append(
            Stand("dewpoint", "Dewpoint", net, share, cells if short else FULL, parts, ("torch",), distributions=plain)
        )
    cells = (DEEP,) if short else (MAIN, DEEP)
    shares = (1.0,) if short else (0.2, 1.0)
    mqtt = ("paho-mqtt", "msgpack")
    made.append(
        Stand(
            "to_cloud",
            "(a) everything to the cloud",
            net,
            None,
            cells,
            (Part("cloud", "benchmarks.pipeline.alternatives.to_cloud"),),
            ("torch",),
            distributions={"cloud": (*mqtt, "torch", "numpy")},
        )
    )
    made.append(
        Stand(
            "int8_edge",
            "(b) int8 ONNX Runtime at the edge, no cloud",
            net,
            None,
            (MAIN, DEEP),
            (Part("edge", "benchmarks.pipeline.alternatives.int8_edge"),),
            ("onnxruntime", "onnx"),
            distributions={"edge": (*mqtt, "onnxruntime")},
        )
    )
    for name, (title, edge, arguments) in _QUEUES.items():
        parts = (Part("edge", edge), Part("cloud", name, arguments))
        needs, installed = (name, "torch"), {"edge": (*mqtt, name, "redis", "numpy")}
        made += [Stand(name, title, net, share, cells, parts, needs, distributions=installed) for share in shares]
    parts = (Part("edge", "benchmarks.pipeline.alternatives.sedna_edge"), Part("cloud", "uvicorn", _UVICORN))
    needs = ("fastapi", "uvicorn", "httpx", "onnxruntime", "onnx", "torch")
    made += [
        Stand(
            "sedna",
            "(f) joint inference over HTTP",
            net,
            share,
            cells,
            parts,
            needs,
            distributions={"edge": (*mqtt, "onnxruntime", "httpx")},
        )
        for share in ((0.2,) if short else shares)
    ]
    return made
