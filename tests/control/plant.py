"""What runs in a measured run: real servers, an edge worker under exit control, cloud workers, a camera, a listener."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hybrid_model import bundle, data
from services.demo.configuration import write
from services.demo.processes import WorkerError, WorkerProcess, ready
from services.messages import Sample
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Servers, free_port
from services.settings import MqttSettings
from services.sources.degrade import Degradation
from services.sources.replay import Outgoing, new_run
from services.sources.sender import Sender
from tests.metrics_page import MetricsPage

SITE = "measured"
CAMERA = "camera-1"
_START_TIMEOUT_S = 120.0
_LOOK_S = 0.5


@dataclass(frozen=True)
class Look:
    """What the edge worker has counted by a moment of the run (seconds), and where its exits stood."""

    seconds: float
    samples: float
    confident: float
    by_cloud: float
    waiting: float
    position: float
    factor: float
    saturated: float


class Camera:
    """Sends a data set's test pictures over and over at a rate: clear ones, or blurred ones while `blurred` is set."""

    def __init__(self, link: MqttLink, dataset: str, rate_hz: float, blur: Degradation | None = None) -> None:
        self.blurred = False
        clear = data.load(dataset).test.x
        self._pictures = {False: clear, True: clear if blur is None else blur.pictures(clear)}
        self._sender = Sender(link, site=SITE, rate_hz=rate_hz)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._sender.send(self._samples(), stop=self._stop)

    def _samples(self) -> Iterator[Outgoing]:
        run = new_run()
        for number in itertools.count():
            pictures = self._pictures[self.blurred]
            picture = pictures[number % len(pictures)]
            shape, dtype = picture.shape, str(picture.dtype)
            sample = Sample(f"{run}-{number}", time.time(), "array", shape, dtype, picture.tobytes())
            yield Outgoing(CAMERA, sample.encode(), completes=(), share=1.0)


class Plant:
    """Servers, an edge worker and cloud workers, each a process, from `with` to the end of its block.

    Args:
        folder: Where everything keeps its files.
        network: A shipped bundle, and the data set of the same name.
        control: `edge.control` of the settings.
        clouds: Number of cloud workers.
        cloud: Settings of each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        network: str,
        control: Mapping[str, Any],
        clouds: int,
        cloud: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.network = folder, network
        self.looks: list[Look] = []
        self.finals: list[tuple[float, float]] = []
        self._control, self._count, self._cloud = dict(control), clouds, dict(cloud or {})
        self._stack = ExitStack()
        self._begun = 0.0

    @property
    def seconds(self) -> float:
        """Since `begin`."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        try:
            self.servers = self._stack.enter_context(Servers(broker="mosquitto", folder=self.folder / "servers"))
            self._edge_port = free_port()
            self.edge = self._worker("edge-1", "services.edge", {"edge": self._edge()}, self._edge_port)
            self.clouds = [self._cloud_worker(f"cloud-{number + 1}") for number in range(self._count)]
            self.mqtt = MqttSettings(port=self.servers.mqtt.port)
            self._listener = self._stack.enter_context(
                MqttLink(
                    self.mqtt,
                    client_id="listener",
                    filters=[Filter(f"dewpoint/{SITE}/label/+")],
                    listener=OnMessage(self._hear),
                    persistent=False,
                )
            )
            self.link = self._stack.enter_context(MqttLink(self.mqtt, client_id="camera", persistent=False))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Time and counts begin here."""
        self._begun = time.monotonic()
        self.looks, self.finals = [], []

    def watch(self, until_s: float) -> None:
        """Look now and then until so many seconds after `begin`. Raises WorkerError where the edge worker ended."""
        while self.seconds < until_s:
            self.edge.check()
            page = MetricsPage.fetch(self._edge_port)
            if page is not None:
                self.looks.append(
                    Look(
                        seconds=round(self.seconds, 2),
                        samples=page.total("samples_received_total"),
                        confident=page.total("exits_total", reason="confident"),
                        by_cloud=page.total("exits_total", exit="cloud"),
                        waiting=page.value("journal_rows", state="waiting"),
                        position=page.value("control_position"),
                        factor=page.value("control_budget_factor"),
                        saturated=page.value("control_saturated"),
                    )
                )
            time.sleep(_LOOK_S)

    def _hear(self, delivery: Delivery) -> None:
        """The latency of a final label: from the camera to its decision, by one clock."""
        self._listener.acknowledge([delivery])
        label = json.loads(delivery.payload)
        if label["status"] == "final":
            self.finals.append((self.seconds, label["decided_at"] - label["captured_at"]))

    def _edge(self) -> dict[str, Any]:
        return {
            "bundle": str(bundle.resolve(self.network)),
            "worker": "edge-1",
            "spool": str(self.folder / "spool"),
            "provisional": False,
            "control": self._control,
        }

    def _cloud_worker(self, name: str) -> WorkerProcess:
        cloud = {"bundles": [str(bundle.resolve(self.network))], "worker": name, "threads": 1, **self._cloud}
        return self._worker(name, "services.cloud", {"cloud": cloud}, free_port())

    def _worker(self, name: str, module: str, sections: Mapping[str, Any], metrics_port: int) -> WorkerProcess:
        path = write(
            self.folder / f"{name}.toml",
            {
                "site": {"name": SITE},
                "mqtt": {"port": self.servers.mqtt.port},
                "redis": {"port": self.servers.redis.port},
                "metrics": {"port": metrics_port},
                **sections,
            },
        )
        worker = WorkerProcess(name=name, module=module, arguments=["--config", str(path)], folder=self.folder)
        self._stack.enter_context(worker)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not ready(metrics_port):
            worker.check()
            if time.monotonic() > deadline:
                raise WorkerError(f"{name} is not ready within {_START_TIMEOUT_S:g} s:\n{worker.log_tail()}")
            time.sleep(0.1)
        return worker
