"""MQTT 3.1.1 as bytes, as much of it as the load generator speaks.

A client library costs about as much a message as the worker that is measured: on few cores the generator would be what
is measured. Everything else in benchmarks/ uses paho.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PUBACK, SUBACK, PUBLISH = 4, 9, 3
_KEEPALIVE_S = 600


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet from the broker. `packet_id` 0 where it has none; `payload` of a PUBLISH."""

    kind: int
    packet_id: int
    payload: bytes = b""


def connect(client_id: str) -> bytes:
    """A clean session."""
    return _packet(0x10, _text("MQTT") + bytes([4, 2]) + _KEEPALIVE_S.to_bytes(2, "big") + _text(client_id))


def subscribe(topic_filter: str, qos: int) -> bytes:
    """One filter."""
    return _packet(0x82, b"\x00\x01" + _text(topic_filter) + bytes([qos]))


def publish_start(topic: str, payload_bytes: int, qos: int) -> bytes:
    """A PUBLISH up to its packet id (QoS 1) or its payload (QoS 0)."""
    named = _text(topic)
    return bytes([0x30 | qos << 1]) + _length(len(named) + (2 if qos else 0) + payload_bytes) + named


def puback(packet_id: int) -> bytes:
    """The acknowledgement of a PUBLISH."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def disconnect() -> bytes:
    """The end."""
    return b"\xe0\x00"


def packets(buffer: bytearray) -> Iterator[Packet]:
    """The whole packets at the start of `buffer`, which are removed from it at the end."""
    view, at, end = bytes(buffer), 0, len(buffer)
    while end - at >= 2:
        length, start, shift = 0, at + 1, 0
        while start < end:
            length |= (view[start] & 0x7F) << shift
            shift += 7
            start += 1
            if not view[start - 1] & 0x80:
                break
        else:
            break
        if start + length > end:
            break
        yield _read(view, view[at], start, start + length)
        at = start + length
    del buffer[:at]


def _read(view: bytes, first: int, start: int, stop: int) -> Packet:
    kind = first >> 4
    if kind != PUBLISH:
        return Packet(kind, int.from_bytes(view[start : start + 2], "big"))
    body = start + 2 + int.from_bytes(view[start : start + 2], "big")
    if not first & 0x06:
        return Packet(kind, 0, view[body:stop])
    return Packet(kind, int.from_bytes(view[body : body + 2], "big"), view[body + 2 : stop])


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(count: int) -> bytes:
    made = bytearray()
    while True:
        count, low = divmod(count, 128)
        made.append(low | (0x80 if count else 0))
        if not count:
            return bytes(made)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
