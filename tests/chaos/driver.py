"""A run from start to end: samples come, faults strike, everything heals, the books are balanced."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_model import bundle, data
from services.messages import MessageError
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.settings import MqttSettings
from tests.chaos import readings, report
from tests.chaos.books import Books
from tests.chaos.faults import TICK_S, Faults
from tests.chaos.plant import SITE, Lane, Plant
from tests.chaos.publishers import Pictures, Publisher, Sensors

_IN_FLIGHT = 64
_DEVICES_PER_LANE = 3
_STALL_S = 180.0
_LATE_S = 2.0


@dataclass(frozen=True)
class Options:
    """What is run.

    Attributes:
        samples: Samples that the broker must have taken before no more are sent.
        seconds: Cap of the whole run.
        seed: Of faults, poisons and readings.
        faults: No fewer are waited for.
        rate_hz: Samples per second, all devices together.
        faults_hz: Faults per second, while samples are sent.
        image_edges, sensor_edges, mixed_edges, clouds: Numbers of workers; a mixed one takes both, by two networks.
        source: Readings: har, synthetic or auto.
        folder: Where logs and journals lie; a temporary folder if none.
    """

    samples: int
    seconds: float
    seed: int = 0
    faults: int = 0
    rate_hz: float = 30.0
    faults_hz: float = 0.5
    image_edges: int = 2
    sensor_edges: int = 2
    mixed_edges: int = 1
    clouds: int = 3
    source: str = "auto"
    kinds: tuple[str, ...] = ()
    folder: Path | None = None


def run(options: Options, *, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Run it and return the figures of `report.figures`.

    Raises ServerMissingError, ServerError, WorkerError or MqttError where something does not come up.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dewpoint-chaos-")))
        chaos = _Run(options, folder, stack, begun + options.seconds, tell)
        drained = chaos.go()
        plant, books = chaos.plant, chaos.books
        dead_letters = plant.dead_letters()
        starts = {worker.name: worker.starts for worker in plant.workers}
    return report.figures(
        books.balance(),
        dead_letters=dead_letters,
        events=plant.events,
        seconds=time.monotonic() - begun,
        more={"seed": options.seed, "drained": drained, "readings": chaos.told_readings, "process_starts": starts},
    )


class _Run:
    """Everything that is open during a run; it closes with `stack`."""

    def __init__(
        self, options: Options, folder: Path, stack: ExitStack, deadline: float, tell: Callable[[str], None]
    ) -> None:
        self._options, self._deadline, self._tell, self._stack = options, deadline, tell, stack
        self._rng = random.Random(f"{options.seed} victims")
        self.books = Books()
        self.told_readings, self._rows = readings.recording(options.source, options.seed)
        lanes = [Lane(name, "digits", name) for name in _names("gate", options.image_edges)]
        lanes += [Lane(name, "har", name) for name in _names("ward", options.sensor_edges)]
        for name in _names("hall", options.mixed_edges):
            lanes += [Lane(f"{name}-door", "digits", name), Lane(f"{name}-bed", "har", name)]
        tell("starting Mosquitto, Redis and the workers")
        self.plant = stack.enter_context(
            Plant(folder, lanes, clouds=options.clouds, rng=random.Random(f"{options.seed} lengths"))
        )
        self.plant.on_poison = self._poison
        self._mqtt = MqttSettings(
            port=self.plant.servers.mqtt.port, inflight_max=_IN_FLIGHT, backoff_min_s=0.1, backoff_max_s=1.0
        )
        self._reader = stack.enter_context(
            MqttLink(
                self._mqtt,
                client_id="chaos-books",
                filters=[Filter(f"dewpoint/{SITE}/label/+")],
                listener=OnMessage(self._receive),
            )
        )
        digits = data.load("digits")
        self._publishers = [self._publisher(lane, digits) for lane in self.plant.lanes]

    def go(self) -> bool:
        """Send, break, heal, drain. True if every sample that is owed something got it."""
        for publisher in self._publishers:
            publisher.start()
        self._break()
        self._tell(f"{self.books.samples:,} samples taken, {self.plant.events.total()} faults; all heals, and drains")
        self.plant.heal()
        for publisher in self._publishers:
            publisher.finish()
        drained = self._drain()
        for publisher in self._publishers:
            publisher.abort()
            publisher.join()
        return drained

    def _break(self) -> None:
        faults = Faults(self._options.seed, rate_hz=self._options.faults_hz, kinds=self._options.kinds)
        tick, told_at = time.monotonic(), 0.0
        while time.monotonic() < self._deadline:
            if self.books.samples >= self._options.samples and self.plant.events.total() >= self._options.faults:
                return
            for kind in faults.draw():
                self.plant.strike(kind)
            tick = max(tick + TICK_S, time.monotonic())
            while True:
                self.plant.tend()
                self._check()
                if time.monotonic() >= tick:
                    break
                time.sleep(0.05)
            if time.monotonic() - told_at > 10.0:
                told_at = time.monotonic()
                self._tell(self._state())

    def _drain(self) -> bool:
        left, moved_at, told_at = -1, time.monotonic(), 0.0
        while time.monotonic() < self._deadline:
            self.plant.tend()
            self._check()
            owed = sum(publisher.owed for publisher in self._publishers) + self.books.missing_finals
            if owed == 0:
                self.books.rejections(self.plant.rejected())
                owed = self.books.missing_rejections + self.plant.unpublished()
                if owed == 0:
                    self._listen_on()
                    return True
            if owed != left:
                left, moved_at = owed, time.monotonic()
            if time.monotonic() - moved_at > _STALL_S:
                break
            if time.monotonic() - told_at > 10.0:
                told_at = time.monotonic()
                self._tell(self._state())
            time.sleep(0.2)
        self.books.rejections(self.plant.rejected())
        return False

    def _listen_on(self) -> None:
        """A final that comes late would be one too many: give it a moment."""
        until = time.monotonic() + _LATE_S
        while time.monotonic() < until:
            self.plant.tend()
            time.sleep(0.05)

    def _check(self) -> None:
        for publisher in self._publishers:
            if publisher.failure is not None:
                raise publisher.failure

    def _state(self) -> str:
        events = self.plant.events.total()
        return f"{self.books.samples:,} samples taken, {self.books.missing_finals:,} finals missing, {events} faults"

    def _poison(self) -> None:
        self._rng.choice(self._publishers).inject()

    def _publisher(self, lane: Lane, digits: data.Dataset) -> Publisher:
        rng = random.Random(f"{self._options.seed} {lane.name}")
        devices = [f"{lane.name}-{number + 1}" for number in range(_DEVICES_PER_LANE)]
        source: Pictures | Sensors
        if lane.network == "digits":
            source = Pictures(digits, devices, run=f"run-{self._options.seed}", rng=rng)
        else:
            first = next(each.network for each in self.plant.lanes if each.edge == lane.edge)
            apart = None if first == lane.network else bundle.load(bundle.resolve(lane.network)).manifest.network_id
            source = Sensors(self._rows, devices, rng=rng, network_id=apart)
        link = self._stack.enter_context(MqttLink(self._mqtt, client_id=f"chaos-{lane.name}"))
        rate_hz = self._options.rate_hz / len(self.plant.lanes)
        return Publisher(
            link, topic=lane.topic, source=source, rate_hz=rate_hz, books=self.books, name=f"devices of {lane.name}"
        )

    def _receive(self, delivery: Delivery) -> None:
        """In the link's thread."""
        try:
            self.books.label(delivery.payload)
        except MessageError as error:
            self._tell(f"{delivery.topic}: {error}")
        self._reader.acknowledge([delivery])


def _names(kind: str, count: int) -> list[str]:
    return [f"{kind}-{number + 1}" for number in range(count)]
