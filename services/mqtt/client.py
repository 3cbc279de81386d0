"""A paho client as we want it: an external loop, manual acknowledgement, a session that stays."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.mqtt.messages import Message
from services.settings import MqttSettings, SettingsError, TlsSettings, read_secret

__all__ = ["FIVE", "THREE", "BufferedSocket", "make_client"]

_BUFFER_BYTES = 1 << 16
FIVE = MQTTProtocolVersion.MQTTv5
THREE = MQTTProtocolVersion.MQTTv311


def make_client(
    settings: MqttSettings, protocol: MQTTProtocolVersion, *, client_id: str, persistent: bool, will: Message | None
) -> Client:
    """A client that `reconnect()` will connect; it writes only in `loop_write()`. Raises SettingsError."""
    client = _BufferedClient(
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
        client.tls_set_context(_tls_context(settings.tls))
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


class _BufferedClient(Client):
    """paho reads a packet in at least three small pieces, each a system call; this one reads what there is at once.

    `_create_socket` is no public interface: where paho stops calling it, only the speed is lost.
    """

    def _create_socket(self) -> Any:
        return BufferedSocket(super()._create_socket())


class BufferedSocket:
    """A non-blocking socket whose `recv` is served from a buffer; all else is the socket's own."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._buffer = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end of the connection. Raises as the socket does where there is nothing."""
        if self._at >= len(self._buffer):
            if size >= _BUFFER_BYTES:
                received: bytes = self._sock.recv(size)
                return received
            self._buffer, self._at = self._sock.recv(_BUFFER_BYTES), 0
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def pending(self) -> int:
        """Bytes that wait where no selector sees them: in the buffer, and within TLS."""
        within_tls: int = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return len(self._buffer) - self._at + within_tls

    def fileno(self) -> int:
        """The socket's descriptor."""
        descriptor: int = self._sock.fileno()
        return descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _no_delay(client: Client, data: object, sock: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing(client: Client, data: object, sock: Any) -> None:
    """What is to be written is asked for by `want_write()`."""


def _tls_context(settings: TlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        files = [str(path) for path in (settings.ca_file, settings.cert_file, settings.key_file) if path is not None]
        raise SettingsError(f"mqtt.tls: {', '.join(files)}: {error.strerror or error}") from None
    return context
