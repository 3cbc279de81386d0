"""Set-points for a site's edge workers: sent by MQTT, retained, and what each worker says to them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.messages import Control, MessageError, Status, control_topic, status_topic
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
    """What a worker says: `control` as its status has it; `away`: it is not online, and learns of it when it is."""

    worker: str
    outcome: Outcome | None
    control: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"worker": self.worker, "outcome": self.outcome, "control": self.control}


def present(settings: Settings) -> list[Answer]:
    """What each worker of the site follows now, as its retained status says. Raises MqttError."""
    with _Listener(settings) as listener:
        listener.listen()
        return [
            Answer(status.worker, None if status.state == "online" else "away", status.control)
            for status in listener.known()
        ]


def send(settings: Settings, set_point: Control | None, *, timeout_s: float) -> list[Answer]:
    """Publish a set-point, retained (none: clear it), and wait until every worker that is online has answered.

    Raises MqttError where the broker cannot be reached, or does not take it.
    """
    with _Listener(settings) as listener:
        listener.listen()
        before = {status.worker: _heard(status) for status in listener.known() if status.state == "online"}
        listener.publish(b"" if set_point is None else set_point.encode())
        listener.wait(lambda known: all(_heard(known[worker]) > count for worker, count in before.items()), timeout_s)
        return [_answer(status, before) for status in listener.known()]


def _answer(status: Status, before: Mapping[str, int]) -> Answer:
    outcome: Outcome
    if status.worker not in before:
        outcome = "away"
    elif _heard(status) <= before[status.worker]:
        outcome = "silent"
    else:
        refused = (status.control or {}).get("refused") is not None
        outcome = "refused" if refused else "accepted"
    return Answer(status.worker, outcome, status.control)


def _heard(status: Status) -> int:
    """How many set-points a worker has heard since it started; -1 where it tells none."""
    count = (status.control or {}).get("set_points")
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

    def publish(self, payload: bytes) -> None:
        """Publish to the site's control topic, retained. Raises MqttError where the broker does not take it."""
        topic, taken, done = control_topic(self._site), [False], threading.Event()

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
