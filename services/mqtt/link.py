"""A kept MQTT connection: bounded publishes, acknowledgements in order, one thread that alone touches paho.

paho's own thread would share its client with everybody. Here other threads leave publishes and acknowledgements in
queues, and the thread that opens and closes connections sends them. That is what makes acknowledgement safe: paho's
`ack()` looks at no socket, and a packet id of an earlier connection may by now be another message's.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from services.logs import get_logger
from services.mqtt.client import FIVE, THREE, make_client
from services.mqtt.messages import Delivery, Filter, Message, MqttError
from services.mqtt.waiting import READ, WRITE, Waiter
from services.settings import MqttSettings

__all__ = ["MqttLink"]

_PROTOCOLS: Final = {"auto": (FIVE, THREE), "5": (FIVE,), "3.1.1": (THREE,)}
_READS_PER_TURN: Final = 64
_UNSUPPORTED_VERSION: Final = 132
_TICK_S: Final = 1.0
_GOODBYE_TIMEOUT_S: Final = 2.0


@dataclass(slots=True, eq=False)
class _Publish:
    message: Message
    on_done: Callable[[bool], None] | None


class MqttLink:
    """A connection that comes back after every loss, with the same session, and sends what is still owed.

    Args:
        settings: Where the broker is, and all bounds.
        client_id: Stable where the session shall outlive the process.
        filters: What to subscribe to, at each connection.
        dropped: Filters of an earlier run that the session may still hold; unsubscribed at each connection.
        on_message: Called with each `Delivery`, in the link's thread: it must not block.
        on_open: Called when a connection is usable (subscribed), in the link's thread; True if the broker kept our
            session.
        on_close: Called when a connection is lost, in the link's thread.
        may_read: Asked before each read; while false the broker's messages stay in the socket. Call `wake` when it
            turns true.
        birth: Published after each subscription.
        will: Published by the broker when we vanish.
        persistent: Keep the session at the broker while we are away, and at the next start.

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
        on_message: Callable[[Delivery], None] | None = None,
        on_open: Callable[[bool], None] | None = None,
        on_close: Callable[[], None] | None = None,
        may_read: Callable[[], bool] | None = None,
        birth: Message | None = None,
        will: Message | None = None,
        persistent: bool = True,
    ) -> None:
        self._settings, self._client_id, self._persistent = settings, client_id, persistent
        self._filters, self._dropped = tuple(filters), tuple(dropped)
        self._on_message, self._on_open, self._on_close = on_message, on_open, on_close
        self._may_read, self._birth, self._will = may_read, birth, will
        self._log = get_logger("mqtt").bind(broker=self.address)
        self._protocols = _PROTOCOLS[settings.protocol]
        self._client = self._make_client()
        # The connection, touched by the link's thread only. A generation is open from CONNACK to loss.
        self._open_generation: int | None = None
        self._session_present = False
        self._window = settings.inflight_max
        self._unacknowledged: dict[int, Delivery] = {}
        self._sent: dict[int, _Publish] = {}
        self._subscribe_id: int | None = None
        self._reads = 0
        self._attempts = 0
        self._at_once = True
        self._attempt_deadline: float | None = None
        # What other threads leave for it, and what they may ask.
        self._queue: deque[_Publish] = deque()
        self._acknowledgements_due = False
        self._room = threading.Condition()
        self._owed = 0
        self._generation = 0
        self._sent_acknowledgements = 0
        self._discarded_acknowledgements = 0
        # The thread
        self._usable = threading.Event()
        self._decided = threading.Event()
        self._refusal: str | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._waiter = Waiter()

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def connected(self) -> bool:
        """Whether a connection is open and subscribed."""
        return self._usable.is_set()

    @property
    def protocol(self) -> str:
        """The MQTT version spoken: "5" or "3.1.1"."""
        return "5" if self._protocols[0] == FIVE else "3.1.1"

    @property
    def generation(self) -> int:
        """How many connections were opened."""
        return self._generation

    @property
    def owed(self) -> int:
        """Publishes that are queued or not acknowledged yet."""
        return self._owed

    @property
    def sent_acknowledgements(self) -> int:
        """Acknowledgements sent so far."""
        return self._sent_acknowledgements

    @property
    def discarded_acknowledgements(self) -> int:
        """Acknowledgements not sent, since their connection was gone."""
        return self._discarded_acknowledgements

    def start(self, *, timeout_s: float | None = None) -> Self:
        """Connect and subscribe, within `timeout_s` (if none, twice the connect timeout). Once only.

        Raises MqttError if that fails.
        """
        bound_s = 2 * self._settings.connect_timeout_s if timeout_s is None else timeout_s
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()
        self._decided.wait(bound_s)
        if self.connected:
            return self
        reason = self._refusal or f"no answer within {bound_s:g} s"
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
        on_done: Callable[[bool], None] | None = None,
    ) -> bool:
        """Queue a message. False, and nothing is queued, if `inflight_max` stay owed for `timeout_s`.

        What is queued is sent now or at the next connection, and again after a loss. `on_done` is called once, in the
        link's thread: True when the broker acknowledged (QoS 0: when it was written), False when it refused or when a
        QoS 0 message went down with its connection. It must not block. Raises ValueError for a topic with wildcards.
        """
        return self._enqueue(_Publish(Message(topic, payload, qos, retain), on_done), timeout_s)

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge messages to the broker; those of an earlier connection are left, it delivers them again.

        Acknowledgements go out in order of receipt: one waits until all before it are acknowledged too.
        """
        for delivery in deliveries:
            delivery.acknowledged = True
            if delivery.qos and delivery.generation != self._open_generation:
                self._discarded_acknowledgements += 1
        self._acknowledgements_due = True
        self._waiter.wake()

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until nothing is owed any more. False if that takes longer."""
        with self._room:
            return self._room.wait_for(lambda: self._owed == 0, timeout_s)

    def wake(self) -> None:
        """Make the link's thread ask `may_read` again."""
        self._waiter.wake()

    def stop(self, *, farewell: Message | None = None, timeout_s: float | None = None) -> None:
        """Publish `farewell`, flush within `timeout_s` (if none, the settings' flush timeout), disconnect."""
        bound_s = self._settings.flush_timeout_s if timeout_s is None else timeout_s
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if bound_s > 0 and self.connected:
            deadline = time.monotonic() + bound_s
            if farewell is not None:
                self._enqueue(_Publish(farewell, None), bound_s)
            self.flush(timeout_s=max(0.0, deadline - time.monotonic()))
        self._stopping = True
        self._waiter.wake()
        thread.join()
        self._waiter.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # The link's thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._client.socket() is None:
                    self._connect()
                else:
                    self._turn()
            except Exception:
                # A fault of ours or paho's: the connection is in doubt, and the broker sends again what it must.
                self._log.exception("mqtt_connection_broken")
                self._hang_up()
        self._say_goodbye()

    def _connect(self) -> None:
        """One attempt, after the pause that the attempts before it call for."""
        if not self._at_once and not self._pause(self._backoff_s()):
            return
        self._at_once = False
        self._attempts += 1
        self._attempt_deadline = time.monotonic() + self._settings.connect_timeout_s
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            self._refused(str(getattr(error, "strerror", None) or error), for_good=False)
            self._hang_up()

    def _backoff_s(self) -> float:
        doubled_s = self._settings.backoff_min_s * 2.0 ** min(max(self._attempts - 1, 0), 16)
        return min(self._settings.backoff_max_s, doubled_s) * random.uniform(0.5, 1.0)

    def _pause(self, pause_s: float) -> bool:
        """Sleep, but not into the end of the process: False if that has come."""
        deadline = time.monotonic() + pause_s
        while True:
            self._waiter.about_to_sleep()
            left_s = deadline - time.monotonic()
            if self._stopping or left_s <= 0:
                return not self._stopping
            self._waiter.wait(left_s)

    def _turn(self) -> None:
        """Send what is due, wait for the socket or for other threads, read what came."""
        if self._open_generation is not None:
            self._send_acknowledgements()
            self._send_publishes()
        client = self._client
        sock: Any = client.socket()
        # Until a connection is usable its handshake must be read, whatever comes with it.
        reading = self._may_read is None or not self._usable.is_set() or self._may_read()
        pending = reading and _pending(sock)
        self._waiter.about_to_sleep()
        events = (READ if reading else 0) | (WRITE if client.want_write() else 0)
        ready = self._waiter.wait(0.0 if pending or self._work_is_due() else _TICK_S, sock, events)
        if ready & READ or pending:
            self._read(client)
        if ready & WRITE or (client.socket() is not None and client.want_write()):
            client.loop_write()
        if reading and client.socket() is not None:
            client.loop_misc()
        if self._attempt_deadline is not None and time.monotonic() > self._attempt_deadline:
            self._refused("no answer", for_good=False)
            self._hang_up()

    def _work_is_due(self) -> bool:
        if self._stopping:
            return True
        if self._open_generation is None:
            return False
        return self._acknowledgements_due or (bool(self._queue) and len(self._sent) < self._window)

    def _read(self, client: Client) -> None:
        for _ in range(_READS_PER_TURN):
            before = self._reads
            client.loop_read()
            if self._reads == before or client.socket() is None:
                return

    def _send_acknowledgements(self) -> None:
        if not self._acknowledgements_due:
            return
        self._acknowledgements_due = False
        due = []
        for packet_id, delivery in self._unacknowledged.items():
            if not delivery.acknowledged:
                break
            due.append(packet_id)
        for packet_id in due:
            del self._unacknowledged[packet_id]
            self._client.ack(packet_id, 1)
        self._sent_acknowledgements += len(due)

    def _send_publishes(self) -> None:
        while self._queue and len(self._sent) < self._window:
            publish = self._queue.popleft()
            message = publish.message
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._queue.appendleft(publish)  # its packet id is taken: another turn, another id
                return
            self._sent[info.mid] = publish

    def _hang_up(self) -> None:
        """Close the socket from our side; paho notices when it reads."""
        sock: Any = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(Exception):
                self._client.loop_read()
        self._closed()

    def _say_goodbye(self) -> None:
        deadline = time.monotonic() + _GOODBYE_TIMEOUT_S
        client = self._client
        with contextlib.suppress(Exception):
            if self._open_generation is not None:
                self._send_acknowledgements()
            client.disconnect()
            while client.socket() is not None and client.want_write() and time.monotonic() < deadline:
                self._waiter.wait(_GOODBYE_TIMEOUT_S, client.socket(), WRITE)
                client.loop_write()
        self._hang_up()

    # What paho reports, in the link's thread

    def _connack(
        self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._reads += 1
        self._attempt_deadline = None
        if reason.is_failure:
            if not (reason.value == _UNSUPPORTED_VERSION and self._other_protocol()):
                self._refused(str(reason), for_good=True)
            return
        self._attempts, self._refusal = 0, None
        self._generation += 1
        self._open_generation = self._generation
        self._session_present = flags.session_present
        broker_max = getattr(properties, "ReceiveMaximum", None) or self._settings.inflight_max
        self._window = min(self._settings.inflight_max, broker_max)
        if self._dropped and self._persistent:
            client.unsubscribe(list(self._dropped))
        if self._filters:
            _, self._subscribe_id = client.subscribe(self._subscriptions())
        else:
            self._opened()

    def _suback(
        self, client: Client, data: object, packet_id: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._reads += 1
        if packet_id != self._subscribe_id:
            return
        refused = [f"{f.topic} ({r})" for f, r in zip(self._filters, reasons, strict=False) if r.is_failure]
        if refused:
            self._refused("subscription refused: " + ", ".join(refused), for_good=True)
            self._hang_up()
        else:
            self._opened()

    def _opened(self) -> None:
        if self._birth is not None:
            with self._room:
                self._owed += 1
            self._queue.appendleft(_Publish(self._birth, None))
        self._log.info("mqtt_connected", protocol=self.protocol, session_present=self._session_present)
        self._usable.set()
        self._decided.set()
        if self._on_open is not None:
            self._on_open(self._session_present)

    def _disconnected(
        self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._attempt_deadline is not None:  # closed on our CONNECT without a word: perhaps it was the version
            at_once = self._generation == 0 and self._attempts == 1 and self._other_protocol()
            if not at_once:
                self._refused("closed the connection without an answer", for_good=False)
        elif self._open_generation is not None and not self._stopping:
            self._log.warning("mqtt_connection_lost", reason=str(reason))
        self._closed()

    def _closed(self) -> None:
        was_open, self._open_generation = self._open_generation is not None, None
        self._attempt_deadline = None
        self._waiter.forget()
        self._unacknowledged.clear()
        for packet_id in [packet_id for packet_id, publish in self._sent.items() if publish.message.qos == 0]:
            self._finished(self._sent.pop(packet_id), False)
        self._usable.clear()
        if was_open and self._on_close is not None:
            self._on_close()

    def _refused(self, reason: str, *, for_good: bool) -> None:
        """Note why there is no connection; `for_good`: whoever waits for the first one need not wait longer."""
        if reason != self._refusal and self._decided.is_set():
            self._log.warning("mqtt_connection_failed", reason=reason)
        self._refusal = reason
        if for_good or self._attempts >= 2:
            self._decided.set()

    def _other_protocol(self) -> bool:
        """Go on at once with the other version, if it may be spoken. False if there is none."""
        if len(self._protocols) < 2:
            return False
        self._protocols = self._protocols[1:] + self._protocols[:1]
        self._closed()
        self._queue.extendleft(reversed(self._sent.values()))
        self._sent.clear()
        _retire(self._client)
        self._client = self._make_client()
        self._at_once = self._attempts < 2
        return True

    def _received(self, client: Client, data: object, message: MQTTMessage) -> None:
        self._reads += 1
        generation = self._open_generation
        if generation is None or self._on_message is None:
            return
        if message.qos and message.mid in self._unacknowledged:
            return  # sent again on this very connection (NATS does, after its ack_wait): it is in hand
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        delivery = Delivery(
            topic,
            bytes(message.payload),
            message.qos,
            message.retain,
            message.dup,
            generation,
            time.time(),
            message.mid,
        )
        if message.qos:
            self._unacknowledged[message.mid] = delivery
        self._on_message(delivery)

    def _published(
        self, client: Client, data: object, packet_id: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._reads += 1
        publish = self._sent.pop(packet_id, None)
        if publish is not None:
            if reason.is_failure:
                self._log.warning("mqtt_publish_refused", topic=publish.message.topic, reason=str(reason))
            self._finished(publish, not reason.is_failure)

    def _finished(self, publish: _Publish, succeeded: bool) -> None:
        with self._room:
            self._owed -= 1
            self._room.notify_all()
        if publish.on_done is not None:
            publish.on_done(succeeded)

    # Parts

    def _enqueue(self, publish: _Publish, timeout_s: float) -> bool:
        with self._room:
            if self._owed >= self._settings.inflight_max and not (
                timeout_s > 0 and self._room.wait_for(lambda: self._owed < self._settings.inflight_max, timeout_s)
            ):
                return False
            self._owed += 1
        self._queue.append(publish)
        self._waiter.wake()
        return True

    def _subscriptions(self) -> list[Any]:
        if self._protocols[0] == FIVE:
            once = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            return [(f.topic, SubscribeOptions(qos=f.qos, retainHandling=once)) for f in self._filters]
        return [(f.topic, f.qos) for f in self._filters]

    def _make_client(self) -> Client:
        client = make_client(
            self._settings,
            self._protocols[0],
            client_id=self._client_id,
            persistent=self._persistent,
            will=self._will,
        )
        client.on_connect, client.on_disconnect = self._connack, self._disconnected
        client.on_subscribe, client.on_message, client.on_publish = self._suback, self._received, self._published
        return client


def _pending(sock: Any) -> bool:
    """Whether bytes wait inside a TLS socket, where no selector sees them."""
    return hasattr(sock, "pending") and sock.pending() > 0


def _retire(client: Client) -> None:
    client.on_disconnect = client.on_publish = client.on_message = None
    sock: Any = client.socket()
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.close()
