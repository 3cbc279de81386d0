"""Samples sent and final labels heard, with no more kept in memory than is on its way."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from services.demo.configuration import SITE
from services.demo.run import Demo
from services.messages import Label, label_topic
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.settings import MqttSettings
from services.sources.catalog import replay_for
from services.sources.replay import Replay, Replayed
from services.sources.sender import Sender

_IN_FLIGHT = 64
Key = tuple[str, str]


class Traffic:
    """Devices and a listener beside a demonstration that runs, from `with` to the end of its block."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._settings = MqttSettings(port=demo.servers.mqtt.port, inflight_max=_IN_FLIGHT)
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._outstanding: set[Key] = set()
        self.finals = self.repeated = 0

    @property
    def outstanding(self) -> int:
        """Samples sent that have no final label yet."""
        return len(self._outstanding)

    def send(self, frames: int, *, rate_hz: float | None, stop: threading.Event) -> int:
        """Send up to `frames` samples, or until `stop`; the number that was sent when the broker has taken them."""
        sender = Sender(self._devices, site=SITE, rate_hz=rate_hz, on_sent=self._sent)
        sender.send(self._replay(frames), stop=stop)
        self._devices.flush(timeout_s=60.0)
        return sender.sent.samples_acknowledged

    def __enter__(self) -> Self:
        everything = label_topic(SITE, "x").rpartition("/")[0] + "/+"
        try:
            self._listener = self._stack.enter_context(
                MqttLink(
                    self._settings, client_id="soak", filters=[Filter(everything)], listener=OnMessage(self._heard)
                )
            )
            self._devices = self._stack.enter_context(MqttLink(self._settings, client_id="soak-devices"))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _replay(self, frames: int) -> Replay:
        return replay_for(self._demo.dataset, devices=self._demo.devices, frames=frames)

    def _sent(self, samples: tuple[Replayed, ...]) -> None:
        with self._lock:
            self._outstanding.update(sample.key for sample in samples)

    def _heard(self, delivery: Delivery) -> None:
        """In the link's thread."""
        label = Label.decode(delivery.payload)
        if label.status == "final":
            with self._lock:
                key = (label.device, label.id)
                self.repeated += key not in self._outstanding
                self.finals += key in self._outstanding
                self._outstanding.discard(key)
        self._listener.acknowledge([delivery])
