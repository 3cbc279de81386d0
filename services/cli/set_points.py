"""Set-points for a site's edge workers: sent by MQTT, retained, and what each worker says to them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.messages import Control, MessageError, Status, control_topic, network_control_topic, status_topic
from services.mqtt import Delivery, Filter, MqttError, MqttLink, OnMessage
from services.mqtt import Outcome as PublishOutcome
from services.settings import Settings

__all__ = ["Answer", "present", "send"]

_QUIET_S: Final = 0.5
_LISTEN_MAX_S: Final = 5.0
_PUBLISH_S: Final = 10.0

Outcome = Literal["accepted", "refused", "silent", "away"]


@dataclass(frozen=True)
class Answer:
    """What a worker says: `control` as its status has it; `away`: it is not online, and learns of it when it is.

    `network`: of a worker with several, the one that it speaks of, by the name of its bundle.
    """

    worker: str
    outcome: Outcome | None
    control: Mapping[str, Any] | None
    network: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data; `network` only where there are several."""
        told = {"worker": self.worker, "outcome": self.outcome, "control": self.control}
        return told if self.network is None else {**told, "network": self.network}


def present(settings: Settings) -> list[Answer]:
    """What each worker of the site follows now, as its retained status says. Raises MqttError."""
    with _Listener(settings) as listener:
        listener.listen()
        return [
            Answer(status.worker, None if status.state == "online" else "away", control, network)
            for status in listener.known()
            for network, control in _controls(status, None)
        ]


def send(
    settings: Settings, set_point: Control | None, *, timeout_s: float, network: str | None = None
) -> list[Answer]:
    """Publish a set-point, retained (none: clear it), and wait until every worker that is online has answered.

    `network`: the name of a bundle; then it is for that network alone, and only workers that run it beside others hear
    of it. Raises MqttError where the broker cannot be reached, or does not take it.
    """
    with _Listener(settings) as listener:
        listener.listen()
        before = {
            (status.worker, name): _heard(control)
            for status in listener.known()
            if status.state == "online"
            for name, control in _controls(status, network)
        }
        topic = control_topic(settings.site.name)
        if network is not None:
            topic = network_control_topic(settings.site.name, network)
        listener.publish(topic, b"" if set_point is None else set_point.encode())

        def all_have_heard(known: Mapping[str, Status]) -> bool:
            return all(
                _heard(dict(_controls(known[worker], network)).get(name)) > count
                for (worker, name), count in before.items()
            )

        listener.wait(all_have_heard, timeout_s)
        return [
            Answer(status.worker, _outcome(before.get((status.worker, name)), control), control, name)
            for status in listener.known()
            for name, control in _controls(status, network)
        ]


def _controls(status: Status, network: str | None) -> list[tuple[str | None, Mapping[str, Any] | None]]:
    """What a worker tells of its networks by name, or of `network` alone; of one network, without a name."""
    if status.networks is None:
        return [] if network is not None else [(None, status.control)]
    return [(name, control) for name, control in status.networks.items() if network in (None, name)]


def _outcome(before: int | None, control: Mapping[str, Any] | None) -> Outcome:
    if before is None:
        return "away"
    if _heard(control) <= before:
        return "silent"
    return "refused" if (control or {}).get("refused") is not None else "accepted"


def _heard(control: Mapping[str, Any] | None) -> int:
    """How many set-points were heard since the worker's start; -1 where it tells none."""
    count = (control or {}).get("set_points")
    return count if isinstance(count, int) else -1


class _Listener:
    """Knows the latest status of every worker of a site."""

    def __init__(self, settings: Settings) -> None:
        self._site = settings.site.name
        self._known: dict[str, Status] = {}
        self._news = threading.Condition()
        self._heard_at = time.monotonic()
        self._link = MqttLink(
            settings.mqtt,
            client_id=f"dewpoint-control-{os.getpid()}-{time.monotonic_ns()}",
            filters=[Filter(f"dewpoint/{self._site}/status/+")],
            listener=OnMessage(self._hear),
            persistent=False,
        )

    def __enter__(self) -> _Listener:
        self._link.start()
        self._heard_at = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.stop()

    def known(self) -> list[Status]:
        """By name of worker."""
        with self._news:
            return [self._known[name] for name in sorted(self._known)]

    def listen(self) -> None:
        """Until no retained status has come for a moment: nothing says which one is the last."""
        end = time.monotonic() + _LISTEN_MAX_S
        with self._news:
            while (now := time.monotonic()) < end and now - self._heard_at < _QUIET_S:
                self._news.wait(_QUIET_S)

    def wait(self, enough: Callable[[dict[str, Status]], bool], timeout_s: float) -> None:
        """Until enough is known, `timeout_s` at most."""
        with self._news:
            self._news.wait_for(lambda: enough(self._known), timeout_s)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a set-point, retained. Raises MqttError where the broker does not take it."""
        taken, done = [False], threading.Event()

        def on_done(outcome: PublishOutcome) -> None:
            taken[0] = outcome.taken
            done.set()

        if not self._link.publish(topic, payload, qos=1, retain=True, on_done=on_done) or not done.wait(_PUBLISH_S):
            raise MqttError(
                f"MQTT broker at {self._link.address}: no acknowledgement within {_PUBLISH_S:g} s; whether it has the"
                " set-point is unknown: ask with dewpoint control, and send it again if it has not"
            )
        if not taken[0]:
            raise MqttError(f"MQTT broker at {self._link.address}: it refuses {topic}; may this account write there?")

    def _hear(self, delivery: Delivery) -> None:
        self._link.acknowledge([delivery])
        try:
            status = Status.decode(delivery.payload)
        except MessageError:  # cleared, or of somebody else's making
            return
        if delivery.topic != status_topic(self._site, status.worker):
            return
        with self._news:
            self._known[status.worker] = status
            self._heard_at = time.monotonic()
            self._news.notify_all()
