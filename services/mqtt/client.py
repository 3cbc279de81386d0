"""A paho client as we want it: an external loop, manual acknowledgement, a session that stays."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from itertools import islice
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.mqtt.messages import Message
from services.security.secret_files import read_secret
from services.security.tls import make_context
from services.settings import MqttSettings

__all__ = [
    "FIVE",
    "THREE",
    "BufferedClient",
    "BufferedSocket",
    "last_error",
    "make_client",
    "packed_user_properties",
    "pairs_of",
]

_BUFFER_BYTES = 1 << 16
_UNSENT_BYTES_MAX = 1 << 18
_PAIRS_MAX = 16
_PAIR_CHARS_MAX = 128
FIVE = MQTTProtocolVersion.MQTTv5
THREE = MQTTProtocolVersion.MQTTv311


def make_client(
    settings: MqttSettings, protocol: MQTTProtocolVersion, *, client_id: str, persistent: bool, will: Message | None
) -> BufferedClient:
    """A client that `reconnect()` will connect; it writes only in `loop_write()`. Raises SettingsError."""
    client = BufferedClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol == FIVE else not persistent,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = settings.connect_timeout_s
    client.max_inflight_messages_set(0)  # the link keeps the window
    if settings.username is not None:
        password = None if settings.password_file is None else read_secret(settings.password_file)
        client.username_pw_set(settings.username, password)
    if settings.tls.enabled:
        client.tls_context = make_context(settings.tls, section="mqtt")
        client.tls_set_context(client.tls_context)
    if will is not None:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    client.on_socket_open = _no_delay
    client.on_socket_register_write = _nothing  # without it publish() and ack() would write, in whatever thread
    if protocol == FIVE:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = settings.receive_max
        if persistent:
            properties.SessionExpiryInterval = settings.session_expiry_s
        client.connect_async(
            settings.host, settings.port, settings.keepalive_s, clean_start=not persistent, properties=properties
        )
    else:
        client.connect_async(settings.host, settings.port, settings.keepalive_s)
    return client


def packed_user_properties(pairs: Sequence[tuple[str, str]]) -> bytes:
    """The properties of a publish of MQTT 5 as bytes."""
    if not pairs:
        return b"\0"
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = list(pairs)
    packed: bytes = properties.pack()  # type: ignore[no-untyped-call]
    return packed


def pairs_of(properties: Properties | None) -> tuple[tuple[str, str], ...]:
    """The user properties of a message that came: the first 16 that are short. A message waits with them in memory."""
    pairs = None if properties is None else vars(properties).get("UserProperty")
    if not pairs:
        return ()
    short = ((name, value) for name, value in pairs if len(name) + len(value) <= _PAIR_CHARS_MAX)
    return tuple(islice(short, _PAIRS_MAX))


class BufferedClient(Client):
    """paho reads a packet in at least three small pieces, each a system call; this one reads what there is at once.

    `_create_socket` and `_ssl_wrap_socket` are no public interface. Should paho stop calling them, reads become slower
    and the reason why a server refuses is no longer known; nothing else changes. Nor is `_in_packet`: where it
    is missing, `between_packets` is False, and paho reads every packet.
    """

    tls_context: ssl.SSLContext | None = None
    last_socket: BufferedSocket | None = None

    def _create_socket(self) -> Any:
        self.last_socket = None
        self.last_socket = BufferedSocket(super()._create_socket())
        return self.last_socket

    @property
    def between_packets(self) -> bool:
        """Whether paho holds no part of a packet, and whoever else reads one whole packet may do so."""
        try:
            return not self._in_packet["command"]
        except (AttributeError, KeyError, TypeError):
            return False

    def _ssl_wrap_socket(self, tcp_sock: Any) -> ssl.SSLSocket:
        """What paho does, but for the socket, which paho leaves open where the handshake fails."""
        assert self.tls_context is not None
        wrapped = self.tls_context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(self.connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


class BufferedSocket:
    """A non-blocking socket with buffers for both directions; all else is the socket's own.

    While it is `paused`, nothing seems to have come. paho reads as many packets at a time as it awaits
    acknowledgements, and asks nobody in between whether there is room for them.

    What paho sends, packet by packet, is kept until `flush`, which writes it all at once.
    """

    def __init__(self, sock: Any) -> None:
        self.paused = False
        self._sock = sock
        self._buffer = b""
        self._at = 0
        self._unsent = bytearray()
        self._short = False
        #: Whether the connection was found at its end, or broken.
        self.ended = False
        self.error: OSError | None = None

    @property
    def unsent(self) -> int:
        """Bytes that were handed to `send`, and wait for `flush`."""
        return len(self._unsent)

    @property
    def has_room(self) -> bool:
        """Whether more may wait for `flush`."""
        return len(self._unsent) < _UNSENT_BYTES_MAX

    def put(self, data: bytes) -> None:
        """Keep whole packets to be written, behind those of paho."""
        self._unsent += data

    def send(self, data: bytes | bytearray) -> int:
        """Keep what is to be written; all of it, but where too much waits. Raises BlockingIOError then."""
        if len(self._unsent) >= _UNSENT_BYTES_MAX:
            raise BlockingIOError
        self._unsent += data
        return len(data)

    def flush(self) -> None:
        """Write what the socket takes now. Raises OSError where the connection is broken."""
        while self._unsent:
            try:
                written = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self.error = error
                raise
            del self._unsent[:written]

    def close(self) -> None:
        """Write what the socket takes, a DISCONNECT above all, and close it."""
        with contextlib.suppress(OSError):
            self.flush()
        self._sock.close()

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end of the connection. Raises as the socket does where there is nothing."""
        if self.paused:
            raise BlockingIOError
        if self._at >= len(self._buffer):
            if size >= _BUFFER_BYTES:
                return self._receive(size)
            self._buffer, self._at = self._receive(_BUFFER_BYTES), 0
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        return taken

    @property
    def buffer(self) -> tuple[bytes, int]:
        """What was received and not read yet: the bytes, and where they begin."""
        return self._buffer, self._at

    def read_up_to(self, at: int) -> None:
        """All before this place of the buffer was read."""
        self._at = at

    def fill(self, reach: int = 0) -> bool:
        """Whether there is something to read, and the buffer reaches beyond or to `reach`: receives what is missing.

        Where the buffer has something and less than `reach`, the rest of a packet is on its way: nobody need look
        again before more has come. `ended`: the connection is at its end or broken, as whoever reads will see.
        """
        self._short = False
        if self.paused:
            return False
        reach = max(reach, self._at + 1)
        while len(self._buffer) < reach:
            try:
                received = self._receive(max(_BUFFER_BYTES, reach - len(self._buffer)))
            except OSError as error:
                self.ended = not isinstance(error, BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError)
                self._short = not self.ended
                return False
            if not received:
                self.ended = True
                return False
            reach -= self._at
            self._buffer, self._at = self._buffer[self._at :] + received, 0
        return True

    def _receive(self, size: int) -> bytes:
        try:
            received: bytes = self._sock.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.error = error  # paho does not report it, and a server may refuse a certificate after the handshake
            raise
        return received

    def pending(self) -> int:
        """Bytes that wait where no selector sees them: in the buffer, and within TLS."""
        within_tls: int = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return within_tls + (0 if self._short else len(self._buffer) - self._at)

    def fileno(self) -> int:
        """The socket's descriptor."""
        descriptor: int = self._sock.fileno()
        return descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def last_error(client: Client) -> OSError | None:
    """What ended a client's last connection, where it was an error of the socket's."""
    last = client.last_socket if isinstance(client, BufferedClient) else None
    return None if last is None else last.error


def _no_delay(client: Client, data: object, sock: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing(client: Client, data: object, sock: Any) -> None:
    """What is to be written is asked for by `want_write()`."""
