"""A kept MQTT connection: bounded publishes, acknowledgements in order, and a thread behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from services.mqtt.driver import Driver, Session
from services.mqtt.listener import Listener
from services.mqtt.messages import Delivery, Filter, Message, MqttError, Outcome
from services.mqtt.publishes import Publish, PublishQueue
from services.settings import MqttSettings

__all__ = ["MqttLink"]


class MqttLink:
    """A connection that comes back after every loss, with the same session, and sends what is still owed.

    Args:
        settings: Where the broker is, and all bounds.
        client_id: Stable where the session shall outlive the process.
        filters: What to subscribe to, at each connection.
        dropped: Filters of an earlier run that the session may still hold; unsubscribed at each connection.
        will: Published by the broker when we vanish.
        persistent: Keep the session at the broker while we are away, and at the next start.
        listener: Who is told what comes of it.

    Raises:
        SettingsError: for secret or certificate files that cannot be read.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        filters: Sequence[Filter] = (),
        dropped: Sequence[str] = (),
        will: Message | None = None,
        persistent: bool = True,
        listener: Listener | None = None,
    ) -> None:
        self._settings = settings
        self._publishes = PublishQueue(settings.inflight_max)
        self._driver = Driver(
            settings=settings,
            session=Session(
                client_id=client_id, filters=tuple(filters), dropped=tuple(dropped), will=will, persistent=persistent
            ),
            listener=listener or Listener(),
            publishes=self._publishes,
        )
        self._discarded_acknowledgements = 0
        self._counting = threading.Lock()
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def connected(self) -> bool:
        """Whether a connection is open and subscribed."""
        return self._driver.usable.is_set()

    @property
    def protocol(self) -> str:
        """The MQTT version spoken: "5" or "3.1.1"."""
        return self._driver.protocol

    @property
    def generation(self) -> int:
        """How many connections were opened."""
        return self._driver.generation

    @property
    def owed(self) -> int:
        """Publishes that are queued or not acknowledged yet."""
        return self._publishes.owed

    @property
    def sent_acknowledgements(self) -> int:
        """Acknowledgements sent so far."""
        return self._driver.traffic.acknowledgements_sent

    @property
    def discarded_acknowledgements(self) -> int:
        """Acknowledgements not sent, since their connection was gone."""
        return self._discarded_acknowledgements

    @property
    def taken_over(self) -> int:
        """Connections that another client with our client id took from us."""
        return self._driver.rivals.taken_over

    @property
    def contested(self) -> bool:
        """Whether another client uses our client id: seen of late, and neither of us has given up."""
        return self._driver.rivals.contested

    def rival_seen(self, *, now: bool) -> None:
        """Another client has written in our name; `now`: it is there now. For a listener, in the link's thread."""
        self._driver.rival_seen(now=now)

    def start(self, *, timeout_s: float | None = None) -> Self:
        """Connect and subscribe, within `timeout_s` (if none, twice the connect timeout). Once only.

        Raises MqttError if that fails.
        """
        bound_s = 2 * self._settings.connect_timeout_s if timeout_s is None else timeout_s
        self._thread = threading.Thread(target=self._driver.run, name="mqtt", daemon=True)
        self._thread.start()
        self._driver.decided.wait(bound_s)
        if self.connected:
            return self
        reason = self._driver.refusal or f"no answer within {bound_s:g} s"
        self.stop(timeout_s=0)
        raise MqttError(f"MQTT broker at {self.address}: {reason}")

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        timeout_s: float = 0.0,
        on_done: Callable[[Outcome], None] | None = None,
        properties: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        """Queue a message. False, and nothing is queued, if `inflight_max` stay owed for `timeout_s`.

        What is queued is sent now or at the next connection, and again after a loss. `on_done` is called once, in the
        link's thread, with what became of it; it must not block. It is not called while that is unknown, nor for what
        was not answered when the link was stopped. A link that was stopped queues nothing. `properties`: user
        properties, which MQTT 5 alone carries. Raises ValueError for a topic with wildcards.
        """
        message = Message(topic, payload, qos, retain, properties)
        queued = not self._stopped and self._publishes.add(Publish(message, on_done), timeout_s)
        if queued:
            self._driver.wake()
        return queued

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge messages to the broker; those of an earlier connection are left, it delivers them again.

        Acknowledgements go out in order of receipt: one waits until all before it are acknowledged too.
        """
        discarded = 0
        for delivery in deliveries:
            delivery.acknowledged = True
            discarded += bool(delivery.qos and delivery.generation != self._driver.open_generation)
        if discarded:
            with self._counting:
                self._discarded_acknowledgements += discarded
        self._driver.acknowledge_due()

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until nothing is owed any more. False if that takes longer."""
        return self._publishes.flush(timeout_s)

    def wake(self) -> None:
        """Make the link's thread ask `may_read` again."""
        self._driver.wake()

    def stop(self, *, farewell: Message | None = None, timeout_s: float | None = None) -> None:
        """Publish `farewell`, flush within `timeout_s` (if none, the settings' flush timeout), disconnect."""
        bound_s = self._settings.flush_timeout_s if timeout_s is None else timeout_s
        with self._counting:
            thread, self._thread = self._thread, None
        if thread is None:
            self._stopped = True
            return
        if bound_s > 0 and self.connected:
            deadline = time.monotonic() + bound_s
            if farewell is not None:
                self._publishes.add(Publish(farewell), bound_s)
                self._driver.wake()
            self.flush(timeout_s=max(0.0, deadline - time.monotonic()))
        self._stopped = True
        self._driver.stop()
        thread.join()
        self._driver.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
