"""The devices of one edge worker: a thread that publishes their samples at QoS 1 and enters them into the books."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hybrid_model.data import Dataset
from services.mqtt import MqttLink, Outcome
from services.sources.degrade import Degradation
from services.sources.images import ImageReplay
from services.sources.replay import Device as ImageDevice
from tests.chaos import poison
from tests.chaos.books import Books, Key, message_hash
from tests.chaos.readings import HOP, Device

_LATE_MAX_S = 0.5
_ROOM_S = 0.2
_PAUSE_SHARE = 0.01
_PAUSE_S = 60.0
_MANY = 10**7


@dataclass(frozen=True)
class Message:
    """`completes`: the samples that are whole with it; `share`: how many samples it is worth, for the pace."""

    device: str
    payload: bytes
    completes: tuple[Key, ...]
    share: float = 1.0


class Pictures:
    """Handwritten digits by several devices, the last one with so much noise that many of its samples are hard."""

    def __init__(self, dataset: Dataset, devices: list[str], *, run: str, rng: random.Random) -> None:
        plain = [ImageDevice(name) for name in devices[:-1]]
        noisy = ImageDevice(devices[-1], Degradation.parse("noise:0.5"))
        self._replay = iter(ImageReplay(dataset, devices=[*plain, noisy], frames=_MANY, run=run))
        self._rng = rng
        self._last: Key | None = None

    def __iter__(self) -> Iterator[Message]:
        for outgoing in self._replay:
            [sample] = outgoing.completes
            yield Message(outgoing.device, outgoing.payload, (sample.key,))
            self._last = sample.key

    def poison(self) -> Message | None:
        """A bad sample; none before the first good one."""
        if self._last is None:
            return None
        device, used_id = self._last
        return Message(device, poison.image(self._rng.choice(poison.IMAGE_KINDS), self._rng, used_id=used_id), ())


class Sensors:
    """Readings of several devices in turn; now and then one is off for a minute of its own time."""

    def __init__(
        self,
        rows: npt.NDArray[np.float64],
        devices: list[str],
        *,
        rng: random.Random,
        network_id: str | None = None,
    ) -> None:
        self._rng = rng
        self._devices = [Device(name, rows, offset=rng.randrange(len(rows)), network_id=network_id) for name in devices]

    def __iter__(self) -> Iterator[Message]:
        while True:
            for device in self._devices:
                if self._rng.random() < _PAUSE_SHARE:
                    device.pause(_PAUSE_S)
                payload, filled = device.next_message()
                yield Message(device.name, payload, tuple(filled), share=32 / HOP)

    def poison(self) -> Message | None:
        """A bad message of a device, whose window begun is given up with it."""
        device = self._rng.choice(self._devices)
        device.spoil()
        return Message(device.name, poison.readings(self._rng.choice(poison.SENSOR_KINDS), self._rng), ())


class Publisher(threading.Thread):
    """Publishes what `source` yields until `finish`, at `rate_hz` samples per second; `inject` puts a poison between.

    Args:
        link: A connection of its own, started.
        topic: Topic of a device, with `{device}` in its place.
        source: What is sent.
        rate_hz: Samples per second.
        books: Who is told what was sent and what the broker took.
    """

    def __init__(
        self, link: MqttLink, *, topic: str, source: Pictures | Sensors, rate_hz: float, books: Books, name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._link, self._topic, self._source, self._books = link, topic, source, books
        self._rate_hz = rate_hz
        self._poisons: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._finishing, self._aborted = threading.Event(), threading.Event()
        self.failure: BaseException | None = None

    @property
    def owed(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        return self._link.owed

    def inject(self) -> None:
        """Let a poison be the next message."""
        self._poisons.put(None)

    def finish(self) -> None:
        """Begin no further message."""
        self._finishing.set()

    def abort(self) -> None:
        """End, whatever is not sent yet."""
        self._finishing.set()
        self._aborted.set()

    def run(self) -> None:
        """Until `finish`."""
        try:
            self._publish_all()
        except BaseException as error:
            self.failure = error
            raise

    def _publish_all(self) -> None:
        due = time.monotonic()
        for message in self._source:
            if self._finishing.is_set():
                return
            self._publish(message)
            due = max(due + message.share / self._rate_hz, time.monotonic() - _LATE_MAX_S)
            self._finishing.wait(max(0.0, due - time.monotonic()))
            while not self._finishing.is_set() and not self._poisons.empty():
                self._poisons.get()
                bad = self._source.poison()
                if bad is not None:
                    self._publish_poison(bad)

    def _publish(self, message: Message) -> None:
        self._books.sent(message.completes)

        def done(outcome: Outcome) -> None:
            if outcome.taken:
                self._books.acknowledged(message.completes)

        self._hand_over(self._topic.format(device=message.device), message.payload, done)

    def _publish_poison(self, message: Message) -> None:
        topic = self._topic.format(device=message.device)
        hashed = message_hash(topic, message.payload)
        self._books.poison_sent(message.device, hashed)

        def done(outcome: Outcome) -> None:
            if outcome.taken:
                self._books.poison_acknowledged(hashed)

        self._hand_over(topic, message.payload, done)

    def _hand_over(self, topic: str, payload: bytes, done: Callable[[Outcome], None]) -> None:
        while not self._aborted.is_set():
            if self._link.publish(topic, payload, qos=1, timeout_s=_ROOM_S, on_done=done):
                return
