"""A demonstration from start to end: servers, workers, devices, books, figures."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress

from hybrid_model import bundle as bundle_file
from hybrid_model import data, energy
from hybrid_model.bundle import Bundle
from hybrid_model.data import Dataset
from services import messages, settings
from services.demo import configuration, figures, table
from services.demo.books import Books
from services.demo.live_page import LivePage, page_port
from services.demo.processes import WorkerError, WorkerProcess, ready
from services.messages import Label, MessageError, Status
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import BrokerKind, Servers, free_port
from services.settings import MqttSettings, TracesSettings
from services.sources.catalog import devices_for, replay_for
from services.sources.errors import SourceError
from services.sources.replay import Replay, Replayed
from services.sources.sender import Sender
from services.traces import publisher_traces

_START_TIMEOUT_S = 90.0
_STALL_S = 60.0
_TICK_S = 0.1
_IN_FLIGHT = 64

# So much that fewer samples of the device leave on the edge, and not so much that nobody could tell them apart.
_NOISE = {"digits": "noise:0.25"}


@dataclass(frozen=True)
class DemoOptions:
    """What is shown.

    `dataset`: by name, or files of own readings. `bundle`: a file or the name of a shipped one; the one named as the
    data set if none. `degraded`: as for
    `dewpoint stream`; the last device by as much noise as shows, if none. `rate_hz`: samples per second over all
    devices; measured on this machine if none. `console`: serve the live page while all runs.
    `traces`: base URL of a collector that gets one trace a sample.
    """

    dataset: str = "digits"
    bundle: str | None = None
    frames: int = 2000
    workers: int = 2
    devices: int = 5
    degraded: tuple[str, ...] | None = None
    rate_hz: float | None = None
    broker: BrokerKind = "nats"
    lease_s: float = 5.0
    console: bool = False
    traces: str | None = None


class Demo:
    """Everything that runs in a demonstration; all of it ends with the `with` block, whatever ends the block.

        with Demo(DemoOptions(), console) as demo:
            found = demo.stream()

    `samples`: a data set in place of the one that the options name.
    Entering raises DataError, BundleError, SourceError, ServerMissingError, ServerError, WorkerError or MqttError.
    """

    def __init__(self, options: DemoOptions, console: Console, samples: Dataset | None = None) -> None:
        self.options, self.console, self._samples = options, console, samples
        self.books = Books()
        self.cloud: list[WorkerProcess] = []
        self.metrics_ports: dict[str, int] = {}
        self.live_page: LivePage | None = None
        self._stack = ExitStack()
        self._online = threading.Event()
        self._kernel = "?"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stream(self, *, watch: Callable[[Demo], None] = lambda demo: None) -> dict[str, Any]:
        """Stream all frames, wait for their labels and return the figures. `watch` is called some times a second.

        Raises WorkerError if the edge worker ends. Samples for which no label comes any more are counted as lost.
        """
        replay = self._replay()
        stop = threading.Event()
        sender = Sender(
            self._sender_link,
            site=configuration.SITE,
            rate_hz=self._rate_hz,
            on_sent=self._note_sent,
            on_acknowledged=lambda samples: self.books.acknowledged(sample.key for sample in samples),
            traces=self._traces,
        )
        sending = threading.Thread(
            target=sender.send, args=(replay,), kwargs={"stop": stop}, name="devices", daemon=True
        )
        sending.start()
        try:
            with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                self._follow(sending, live, watch)
        finally:
            stop.set()
            sending.join()
        return self._figures(replay, sender.sent.payload_bytes)

    def summary(self, found: dict[str, Any]) -> RenderableType:
        """The figures, and what became of each device's samples, for a person."""
        reduction = None
        spent_j = self.books.tally().energy_j
        if self.options.dataset in ("cifar10", "cifar100") and spent_j:
            reduction = energy.standard_energy_j() * found["labels_final"] / spent_j
        return Group(
            table.devices(self.books.tally(), notes=self._notes()), table.summary(found, reduction_standard=reduction)
        )

    def addresses(self) -> str:
        """Where the parts can be reached while they run."""
        servers = f"MQTT {self.servers.mqtt.address}, Redis {self.servers.redis.address}"
        if self.live_page is not None:
            servers = f"console {self.live_page.url}, {servers}"
        return f"{servers}, site {configuration.SITE}, files in {self.folder}"

    def wait(self) -> None:
        """Return when the edge worker ends, or never. Raises WorkerError then."""
        while True:
            self.edge.check()
            time.sleep(_TICK_S)

    def _start(self) -> None:
        options, stack = self.options, self._stack
        self._traces = publisher_traces(self._traces_settings(), site=configuration.SITE)
        stack.callback(self._traces.stop)
        self.dataset = self._samples or data.load(options.dataset)
        path = bundle_file.resolve(options.bundle or options.dataset)
        self.bundle: Bundle = bundle_file.load(path, cloud=True)
        self.dataset = self._samples or data.load(options.dataset)
        self._must_fit()
        usual = "noise:0.8" if self.dataset.kind == "sensor" else "noise:0.2"
        degraded = options.degraded if options.degraded is not None else (_NOISE.get(options.dataset, usual),)
        self.devices = devices_for(self.dataset, options.devices, degraded)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dewpoint-demo-")))
        self._say(f"starting {options.broker}, redis, 1 edge worker and {options.workers} cloud workers")
        self.servers = stack.enter_context(Servers(broker=options.broker, folder=self.folder / "servers"))
        self._start_workers(path)
        if options.console:
            self._start_page(path)
        self._connect()
        self._await_workers()
        if self.live_page is not None:
            self._say(self.live_page.told())
        self._rate_hz = options.rate_hz or figures.comfortable_rate_hz(self.bundle, self.dataset)
        spoilt = ", ".join(f"{d.name} by {d.degradation.kind}" for d in self.devices if d.degradation)
        self._say(
            f"edge engine: {self._kernel} kernel; {options.frames:,} samples of {self.dataset.name} from "
            f"{len(self.devices)} devices at {self._rate_hz:,.0f} a second; degraded: {spoilt or 'none'}"
        )

    def _start_workers(self, bundle: Path) -> None:
        ports = self.metrics_ports
        for number in range(self.options.workers):
            name = f"cloud-{number + 1}"
            ports[name] = free_port()
            config = configuration.cloud_file(
                self.folder, self.servers, name=name, bundle=bundle, metrics_port=ports[name],
                lease_s=self.options.lease_s,
            )  # fmt: skip
            self._trace(config)
            worker = WorkerProcess(
                name=name, module="services.cloud", arguments=["--config", str(config)], folder=self.folder
            )
            self.cloud.append(self._stack.enter_context(worker))
        ports["edge"] = free_port()
        config = configuration.edge_file(
            self.folder, self.servers, bundle=bundle, dataset=self.dataset, metrics_port=ports["edge"]
        )
        self._trace(config)
        self.edge = self._stack.enter_context(
            WorkerProcess(name="edge", module="services.edge", arguments=["--config", str(config)], folder=self.folder)
        )
        self._stack.callback(self._ask_all_to_stop)  # before they are awaited one by one

    def _traces_settings(self) -> TracesSettings:
        endpoint = self.options.traces
        if endpoint is None:
            return TracesSettings()
        return settings.load(overrides={"traces": {"enabled": True, "endpoint": endpoint}}).traces

    def _trace(self, config: Path) -> None:
        if self.options.traces is not None:
            configuration.add(config, {"traces": {"enabled": True, "endpoint": self.options.traces}})

    def _start_page(self, bundle: Path) -> None:
        port = page_port()
        config = configuration.console_file(
            self.folder, self.servers, bundle=bundle, dataset=self.dataset, port=port,
            metrics_ports=self.metrics_ports.values(),
        )  # fmt: skip
        self.live_page = self._stack.enter_context(LivePage(config=config, port=port, folder=self.folder))

    def _ask_all_to_stop(self) -> None:
        for worker in (self.edge, *self.cloud):
            worker.ask_to_stop()
        if self.live_page is not None:
            self.live_page.ask_to_stop()

    def _connect(self) -> None:
        settings = MqttSettings(host=self.servers.mqtt.host, port=self.servers.mqtt.port, inflight_max=_IN_FLIGHT)
        filters = [
            Filter(messages.label_topic(configuration.SITE, "x").rpartition("/")[0] + "/+"),
            Filter(messages.status_topic(configuration.SITE, configuration.EDGE_WORKER)),
        ]
        self._reader_link = self._stack.enter_context(
            MqttLink(settings, client_id="demo-books", filters=filters, listener=OnMessage(self._receive))
        )
        self._sender_link = self._stack.enter_context(MqttLink(settings, client_id="demo-devices"))

    def _await_workers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        waiting = {worker.name: worker for worker in (self.edge, *self.cloud)}
        while waiting or not self._online.is_set():
            for name, worker in tuple(waiting.items()):
                worker.check()
                if ready(self.metrics_ports[name]):
                    del waiting[name]
            if time.monotonic() > deadline:
                late = next(iter(waiting.values()), self.edge)
                raise WorkerError(f"{late.name} was not ready within {_START_TIMEOUT_S:g} s:\n{late.log_tail()}")
            time.sleep(_TICK_S)

    def _receive(self, delivery: Delivery) -> None:
        """In the link's thread."""
        try:
            if delivery.topic.startswith(f"dewpoint/{configuration.SITE}/status/"):
                status = Status.decode(delivery.payload)
                if status.state == "online":
                    self._kernel = status.kernel or "?"
                    self._online.set()
            else:
                self.books.label(Label.decode(delivery.payload), arrived_at=delivery.received_at)
        except MessageError as error:
            self.console.print(f"{delivery.topic}: {error}", markup=False)
        self._reader_link.acknowledge([delivery])

    def _replay(self) -> Replay:
        return replay_for(self.dataset, devices=self.devices, frames=self.options.frames)

    def _note_sent(self, samples: tuple[Replayed, ...]) -> None:
        for sample in samples:
            self.books.sent(
                sample.key, number=sample.number, class_index=sample.class_index, captured_at=sample.captured_at
            )

    def _follow(self, sending: threading.Thread, live: Live, watch: Callable[[Demo], None]) -> None:
        """Until every sample has its label, or none has come for long."""
        finals, moved_at = -1, time.monotonic()
        while True:
            self.edge.check()
            watch(self)
            tally = self.books.tally()
            workers = {worker.name: worker.running for worker in (self.edge, *self.cloud)}
            live.update(table.live(tally, frames=self.options.frames, notes=self._notes(), workers=workers))
            if tally.finals != finals:
                finals, moved_at = tally.finals, time.monotonic()
            sent_all = not sending.is_alive() and self._sender_link.owed == 0
            if (sent_all and tally.waiting == 0) or time.monotonic() > moved_at + _STALL_S:
                return
            time.sleep(_TICK_S)

    def _figures(self, replay: Replay, payload_bytes: int) -> dict[str, Any]:
        entries = self.books.entries()
        with Progress(console=self.console, transient=True) as bar:
            task = bar.add_task("the same samples by each half alone", total=len(entries))
            alone = figures.halves_alone(self.bundle, replay, entries, advance=lambda count: bar.advance(task, count))
        return figures.summary(
            self.books, self.bundle.manifest, dataset=self.dataset.name, input_bytes=payload_bytes, alone=alone
        )

    def _notes(self) -> dict[str, str]:
        return {d.name: f"{d.degradation.kind} {d.degradation.strength:g}" for d in self.devices if d.degradation}

    def _must_fit(self) -> None:
        manifest = self.bundle.manifest
        if tuple(manifest.classes) != self.dataset.classes:
            raise SourceError(
                f"bundle {manifest.name} does not know the classes of {self.dataset.name}; give a --bundle"
            )
        if tuple(manifest.input.shape) != self.dataset.test.x.shape[1:]:
            raise SourceError(f"bundle {manifest.name} does not take samples of {self.dataset.name}; give a --bundle")

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)
