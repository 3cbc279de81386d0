"""Sends messages to the broker: at a rate, with a bounded number of messages in flight, counting what was taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services import messages
from services.mqtt import MqttLink, Outcome
from services.sources.replay import Captured, Outgoing
from services.traces import PublisherTraces

_LATE_MAX_S = 0.25
_ROOM_POLL_S = 0.2

S = TypeVar("S", bound=Captured)


@dataclass
class Sent:
    """What became of a stream so far. Samples count as acknowledged with the message that completes them."""

    messages: int = 0
    samples: int = 0
    payload_bytes: int = 0
    messages_acknowledged: int = 0
    samples_acknowledged: int = 0
    messages_refused: int = 0

    @property
    def messages_open(self) -> int:
        """Messages of which the broker has not said yet what became of them."""
        return self.messages - self.messages_acknowledged - self.messages_refused


def ignore(samples: tuple[Captured, ...]) -> None:
    """For senders whose books nobody keeps."""


class Sender(Generic[S]):
    """Publishes with QoS 1 to each device's topic; the link's settings bound how many messages are in flight.

    Args:
        link: A connection that was started.
        site: The site, a level of the topics.
        rate_hz: Samples per second, over all devices; as fast as the broker takes them if none.
        on_sent: Called with the samples that a message completes, before it is published.
        on_acknowledged: Called with them when the broker has acknowledged it, in the link's thread.
        traces: Begins the traces of samples; stopped by whoever made it. None are begun if None.
    """

    def __init__(
        self,
        link: MqttLink,
        *,
        site: str,
        rate_hz: float | None = None,
        on_sent: Callable[[tuple[S, ...]], None] = ignore,
        on_acknowledged: Callable[[tuple[S, ...]], None] = ignore,
        traces: PublisherTraces | None = None,
    ) -> None:
        self.sent = Sent()
        self._link, self._site, self._rate_hz = link, site, rate_hz
        self._on_sent, self._on_acknowledged = on_sent, on_acknowledged
        self._traces = traces or PublisherTraces()
        self._lock = threading.Lock()
        self._done = threading.Condition(self._lock)

    def wait_for_room(self, messages_max: int) -> None:
        """Wait until the broker owes its word for fewer than `messages_max` messages.

        For sources whose newest sample counts: they choose what to send only when it can leave.
        """
        with self._done:
            self._done.wait_for(lambda: self.sent.messages_open < messages_max)

    def send(self, replay: Iterable[Outgoing[S]], *, stop: threading.Event | None = None) -> bool:
        """Send all of it, or until `stop` is set. True if all of it was handed over.

        Returns when the last message is queued; `MqttLink.flush` waits for the acknowledgements.
        """
        stop = stop or threading.Event()
        due = time.monotonic()
        for outgoing in replay:
            if stop.is_set() or not self._publish(outgoing, stop):
                return False
            if self._rate_hz is not None:
                # A sender that was held up catches up for a moment at most; it does not burst.
                due = max(due + outgoing.share / self._rate_hz, time.monotonic() - _LATE_MAX_S)
                stop.wait(max(0.0, due - time.monotonic()))
        return True

    def _publish(self, outgoing: Outgoing[S], stop: threading.Event) -> bool:
        topic = messages.input_topic(self._site, outgoing.device)
        with self._lock:
            self.sent.messages += 1
            self.sent.samples += len(outgoing.completes)
            self.sent.payload_bytes += len(outgoing.payload)
        self._on_sent(outgoing.completes)
        span = self._traces.publishing(outgoing.device, outgoing.completes)
        payload = span.payload(outgoing.payload, protocol=self._link.protocol)

        def done(outcome: Outcome) -> None:
            taken = outcome.taken
            span.end(taken)
            with self._lock:
                if taken:
                    self.sent.messages_acknowledged += 1
                    self.sent.samples_acknowledged += len(outgoing.completes)
                else:
                    self.sent.messages_refused += 1
                self._done.notify_all()
            if taken:
                self._on_acknowledged(outgoing.completes)

        while not stop.is_set():
            if self._link.publish(
                topic, payload, qos=1, timeout_s=_ROOM_POLL_S, on_done=done, properties=span.properties
            ):
                return True
        return False
