"""The thread that alone touches paho and its socket: opens one connection after another, and lets messages pass.

paho's own thread would share its client with everybody. Here whoever opens and closes connections also sends the
acknowledgements. That is what makes them safe: they are of this connection or of none.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from services.common.backoff import BackOff
from services.common.logs import get_logger
from services.mqtt import refusals
from services.mqtt.client import (
    FIVE,
    THREE,
    BufferedClient,
    BufferedSocket,
    last_error,
    make_client,
)
from services.mqtt.listener import Listener
from services.mqtt.messages import Filter, Message
from services.mqtt.publishes import PublishQueue
from services.mqtt.rivals import Rivals
from services.mqtt.traffic import Traffic
from services.mqtt.waiting import READ, WRITE, Waiter
from services.settings import MqttSettings

__all__ = ["Driver", "Session"]

_PROTOCOLS: Final = {"auto": (FIVE, THREE), "5": (FIVE,), "3.1.1": (THREE,)}
_READS_PER_TURN: Final = 64
#: Reason codes of MQTT 5.
_UNSUPPORTED_VERSION: Final = 0x84
_SESSION_TAKEN_OVER: Final = 0x8E
_TICK_S: Final = 1.0
_GOODBYE_TIMEOUT_S: Final = 2.0
#: So many longest pauses without a sign of another client, and it is gone: one pause of each of us, and one to spare.
_QUIET_PAUSES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who we are to the broker.

    `dropped`: filters of an earlier run that the session may still hold; `persistent`: it outlives the connection.
    """

    client_id: str
    filters: tuple[Filter, ...] = ()
    dropped: tuple[str, ...] = ()
    will: Message | None = None
    persistent: bool = True


class Driver:
    """Runs one connection after another until it is told to stop. `run` is the thread; the rest may be asked by any.

    Raises SettingsError on construction, for secret or certificate files that cannot be read.
    """

    def __init__(
        self, *, settings: MqttSettings, session: Session, listener: Listener, publishes: PublishQueue
    ) -> None:
        self._settings, self._session, self._listener = settings, session, listener
        #: Whether another client uses our client id.
        self.rivals = Rivals(quiet_s=_QUIET_PAUSES * settings.backoff_max_s)
        self._broker = f"{settings.host}:{settings.port}"
        self._log = get_logger("mqtt").bind(broker=self._broker)
        # Attempts that fail are one thing, connections that do not last another: who is let in and thrown out at once
        # must not come back at once.
        self._after_failure = BackOff(first_s=settings.backoff_min_s, most_s=settings.backoff_max_s)
        self._after_loss = BackOff(first_s=settings.backoff_min_s, most_s=settings.backoff_max_s)
        self._taken_over = False
        self._protocols = _PROTOCOLS[settings.protocol]
        self._client = self._make_client()
        #: Connections that were opened.
        self.generation = 0
        self.usable = threading.Event()
        self.decided = threading.Event()
        self.refusal: str | None = None
        #: Messages, both ways.
        self.traffic = Traffic(
            broker=self._broker,
            in_flight_max=settings.inflight_max,
            publishes=publishes,
            receive=listener.received,
            may_read=self._may_read,
        )
        self._session_present = False
        self._subscribe_id: int | None = None
        self._handshakes = 0
        self._attempts = 0
        self._at_once = True
        self._attempt_deadline: float | None = None
        self._stopping = False
        self._waiter = Waiter()

    @property
    def open_generation(self) -> int | None:
        """Of the connection that is open, from CONNACK to loss: what came over another cannot be acknowledged."""
        return self.traffic.generation

    @property
    def protocol(self) -> str:
        """The MQTT version spoken: "5" or "3.1.1"."""
        return "5" if self._protocols[0] == FIVE else "3.1.1"

    def acknowledge_due(self) -> None:
        """Deliveries were marked as acknowledged."""
        self.traffic.acknowledgements_due = True
        self._waiter.wake()

    def wake(self) -> None:
        """Look at the queue, and at `may_read`, again."""
        self._waiter.wake()

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping = True
        self._waiter.wake()

    def close(self) -> None:
        """Close the files, once `run` has returned."""
        self._waiter.close()

    def run(self) -> None:
        """Until `stop`; then acknowledge what is due, and disconnect."""
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
        if not self._at_once:
            backoff = self._after_failure if self._attempts else self._after_loss
            if not self._pause(backoff.next_s()):
                return
        self._at_once = False
        self._attempts += 1
        self._attempt_deadline = time.monotonic() + self._settings.connect_timeout_s
        try:
            self._client.reconnect()
        except (OSError, ValueError) as error:
            self._refused(refusals.failed(self._settings, error), for_good=False)
            self._hang_up()

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
        if self.open_generation is not None:
            self.traffic.acknowledge(self._client)
            self.traffic.publish(self._client)
            if _wants_to_write(self._client):
                self._write(self._client)
        client = self._client
        if client.socket() is None:
            return
        sock: Any = client.socket()
        # Until a connection is usable its handshake must be read, whatever comes with it.
        reading = self._may_read()
        _pause(sock, not reading)
        pending = reading and _pending(sock)
        self._waiter.about_to_sleep()
        events = (READ if reading else 0) | (WRITE if _wants_to_write(client) else 0)
        ready = self._waiter.wait(0.0 if pending or self._work_is_due() else self._tick_s(), sock, events)
        if ready & READ or pending:
            self._read(client)
        if ready & WRITE or (client.socket() is not None and _wants_to_write(client)):
            self._write(client)
        if reading and client.socket() is not None:
            client.loop_misc()
        if self._attempt_deadline is not None and time.monotonic() >= self._attempt_deadline:
            self._attempt_deadline = None
            self._refused("no answer", for_good=False)
            self._hang_up()

    def _write(self, client: BufferedClient) -> None:
        """All that paho has to send, in one piece where the socket takes it."""
        client.loop_write()
        if client.socket() is not None and client.last_socket is not None:
            try:
                client.last_socket.flush()
            except OSError:
                self._hang_up()
            else:
                if not client.last_socket.unsent:
                    self.traffic.written()

    def _may_read(self) -> bool:
        return not self.usable.is_set() or self._listener.may_read()

    def _work_is_due(self) -> bool:
        return self._stopping or self.traffic.is_due(self._client)

    def _tick_s(self) -> float:
        if self._attempt_deadline is None:
            return _TICK_S
        return max(0.0, min(_TICK_S, self._attempt_deadline - time.monotonic()))

    def _read(self, client: BufferedClient) -> None:
        for _ in range(_READS_PER_TURN):
            before = self._handshakes + self.traffic.reads
            if self.traffic.read(client):
                client.loop_read()
            if self._handshakes + self.traffic.reads == before or client.socket() is None:
                return

    def _hang_up(self) -> None:
        """Close the socket from our side; paho notices when it reads."""
        sock: Any = self._client.socket()
        if sock is not None:
            _pause(sock, False)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(Exception):
                self._client.loop_read()
        self._closed()

    def _say_goodbye(self) -> None:
        deadline = time.monotonic() + _GOODBYE_TIMEOUT_S
        client = self._client
        with contextlib.suppress(Exception):
            self.traffic.acknowledge(client)
            client.disconnect()
            while client.socket() is not None and _wants_to_write(client) and time.monotonic() < deadline:
                self._waiter.wait(_GOODBYE_TIMEOUT_S, client.socket(), WRITE)
                self._write(client)
        self._hang_up()

    # What paho reports

    def _connack(
        self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._handshakes += 1
        self._attempt_deadline = None
        if reason.is_failure:
            if not (reason.value == _UNSUPPORTED_VERSION and self._other_protocol()):
                self._refused(refusals.refused(self._settings, reason), for_good=True)
            return
        self._attempts, self.refusal = 0, None
        self._after_failure.reset()
        self.rivals.opened()
        self.generation += 1
        self._session_present = flags.session_present
        self.traffic.opened(
            self._client,
            self.generation,
            five=self._protocols[0] == FIVE,
            receive_max=getattr(properties, "ReceiveMaximum", None),
        )
        if self._session.dropped and self._session.persistent:
            client.unsubscribe(list(self._session.dropped))
        if self._session.filters:
            _, self._subscribe_id = client.subscribe(self._subscriptions())
        else:
            self._opened()

    def _suback(
        self, client: Client, data: object, packet_id: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._handshakes += 1
        if packet_id != self._subscribe_id:
            return
        refused = [
            f"{wanted.topic} ({answer})"
            for wanted, answer in zip(self._session.filters, reasons, strict=False)
            if answer.is_failure and not wanted.optional
        ]
        if refused:
            self._refused("subscription refused: " + ", ".join(refused), for_good=True)
            self._hang_up()
        else:
            self._opened()

    def _opened(self) -> None:
        birth = self._listener.birth()
        if birth is not None:
            self.traffic.born(birth)
        self._log.info("mqtt_connected", protocol=self.protocol, session_present=self._session_present)
        self.usable.set()
        self.decided.set()
        self._listener.opened(self._session_present)

    def _disconnected(
        self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._attempt_deadline is not None:  # closed on our CONNECT without a word: perhaps it was the version
            at_once = self.generation == 0 and self._attempts == 1 and self._other_protocol()
            if not at_once:
                self._refused(refusals.closed(self._settings, last_error(client)), for_good=False)
        elif self.open_generation is not None and not self._stopping:
            self._taken_over = flags.is_disconnect_packet_from_server and reason.value == _SESSION_TAKEN_OVER
            self._log.warning("mqtt_connection_lost", reason=str(reason))
        self._closed()

    def _closed(self) -> None:
        was_open = self.open_generation is not None
        was_usable = self.usable.is_set()
        self._attempt_deadline = None
        self._waiter.forget()
        self.traffic.closed()
        self.usable.clear()
        if was_open:
            if was_usable or self._taken_over:  # where a subscription is refused, it is we who hang up
                self._count_loss()
            self.traffic.tell(self._listener.closed)

    def _count_loss(self) -> None:
        taken_over, self._taken_over = self._taken_over, False
        if self._stopping:
            return
        if self.rivals.lost(taken_over=taken_over):
            self._after_loss.reset()
        if self.rivals.contested:
            said = "the broker says that the session was taken over"
            self.traffic.tell(
                partial(self._listener.contested, said if taken_over else "connections end soon, time and again")
            )

    def rival_seen(self, *, now: bool) -> None:
        """Another client has written in our name; in the link's thread."""
        self.rivals.seen(now=now)
        if self.rivals.contested:
            self._listener.contested("another client has written in our name")

    def _refused(self, reason: str, *, for_good: bool) -> None:
        """Note why there is no connection; `for_good`: whoever waits for the first one need not wait longer."""
        if reason != self.refusal and self.decided.is_set():
            self._log.warning("mqtt_connection_failed", reason=reason)
        self.refusal = reason
        if for_good or self._attempts >= 2:
            self.decided.set()

    def _other_protocol(self) -> bool:
        """Go on at once with the other version, if it may be spoken. False if there is none."""
        if len(self._protocols) < 2:
            return False
        self._protocols = self._protocols[1:] + self._protocols[:1]
        self._closed()
        self.traffic.put_back()
        _retire(self._client)
        self._client = self._make_client()
        self._at_once = self._attempts < 2
        return True

    def _received(self, client: Client, data: object, message: MQTTMessage) -> None:
        self.traffic.received(self._client, message)

    def _subscriptions(self) -> list[Any]:
        if self._protocols[0] == FIVE:
            when = {
                "new": SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
                "always": SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
            }
            filters = self._session.filters
            return [(f.topic, SubscribeOptions(qos=f.qos, retainHandling=when[f.retained])) for f in filters]
        return [(f.topic, f.qos) for f in self._session.filters]

    def _make_client(self) -> BufferedClient:
        client = make_client(
            self._settings,
            self._protocols[0],
            client_id=self._session.client_id,
            persistent=self._session.persistent,
            will=self._session.will,
        )
        client.on_connect, client.on_disconnect = self._connack, self._disconnected
        client.on_subscribe, client.on_message = self._suback, self._received
        return client


def _wants_to_write(client: BufferedClient) -> bool:
    sock = client.last_socket
    return client.want_write() or (sock is not None and sock.unsent > 0)


def _pending(sock: Any) -> bool:
    """Whether bytes wait inside a TLS socket, where no selector sees them."""
    return hasattr(sock, "pending") and sock.pending() > 0


def _pause(sock: Any, paused: bool) -> None:
    """Let a buffered socket give nothing, or again what it has; without the buffer more is read at a time."""
    if isinstance(sock, BufferedSocket):
        sock.paused = paused


def _retire(client: Client) -> None:
    client.on_disconnect = client.on_message = None
    sock: Any = client.socket()
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.close()
