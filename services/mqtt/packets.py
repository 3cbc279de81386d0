"""PUBLISH and PUBACK as bytes: what comes thousands of times a second is read here, everything else by paho.

MQTT 5.0, sections 2.1, 3.3 and 3.4; MQTT 3.1.1 has the same packets without properties and reason codes. What is in any
way out of the ordinary is left to paho: user properties, packets that break the rules, those that are not whole yet.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["NO_SUBSCRIBERS", "PUBACK", "PUBLISH", "Packet", "Published", "next_packet", "puback", "publish"]

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
#: A reason code of MQTT 5.
NO_SUBSCRIBERS: Final = 0x10
_LENGTH_BYTES_MAX: Final = 4


class Packet(NamedTuple):
    """Where a whole packet lies in a buffer: its first byte, and where what follows the length begins and ends."""

    first: int
    start: int
    end: int


class Published(NamedTuple):
    """What a PUBLISH says; `packet_id` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    packet_id: int


def next_packet(buffer: bytes, at: int) -> Packet | None:
    """The packet that begins at `at`; None where it is not whole, or its length is none."""
    size, length, shift = len(buffer), 0, 0
    place = at + 1
    while place < size and shift < 7 * _LENGTH_BYTES_MAX:
        byte = buffer[place]
        place += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            end = place + length
            return Packet(buffer[at], place, end) if end <= size else None
        shift += 7
    return None


def publish(buffer: bytes, packet: Packet, *, five: bool) -> Published | None:
    """A PUBLISH of QoS 0 or 1 without properties; None where it is anything else. `five`: MQTT 5 is spoken."""
    first, start, end = packet
    qos = (first >> 1) & 3
    body = start + 2
    if qos > 1 or body > end:
        return None
    topic_end = body + (buffer[start] << 8 | buffer[start + 1])
    at, packet_id = topic_end, 0
    if qos:
        at += 2
        if at > end:
            return None
        packet_id = buffer[topic_end] << 8 | buffer[topic_end + 1]
        if not packet_id:
            return None
    if five:
        if at >= end or buffer[at]:
            return None
        at += 1
    if at > end or topic_end == body:
        return None
    try:
        topic = buffer[body:topic_end].decode()
    except UnicodeDecodeError:
        return None
    return Published(topic, buffer[at:end], qos, bool(first & 1), bool(first & 8), packet_id)


def puback(buffer: bytes, packet: Packet) -> tuple[int, int] | None:
    """The packet id that a PUBACK acknowledges, and its reason code: 0 where it has none.

    None where it has properties, or a reason code that is neither success nor that nobody has subscribed.
    """
    _, start, end = packet
    size = end - start
    reason = buffer[start + 2] if size == 3 else 0
    if size not in (2, 3) or reason not in (0, NO_SUBSCRIBERS):
        return None
    return buffer[start] << 8 | buffer[start + 1], reason
