"""PUBLISH and PUBACK as bytes: what comes and goes thousands of times a second is made here, all else by paho.

MQTT 5.0, sections 2.1, 3.3 and 3.4; MQTT 3.1.1 has the same packets without properties and reason codes. What comes and
is in any way out of the ordinary is left to paho: user properties, packets that break the rules, or are not whole yet.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "NO_SUBSCRIBERS",
    "PUBACK",
    "PUBLISH",
    "REFUSAL",
    "Packet",
    "Published",
    "next_packet",
    "puback",
    "puback_bytes",
    "publish",
    "publish_bytes",
]

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
#: Reason codes of MQTT 5; from `REFUSAL` on they tell of one.
NO_SUBSCRIBERS: Final = 0x10
REFUSAL: Final = 0x80
_LENGTH_BYTES_MAX: Final = 4


class Packet(NamedTuple):
    """Where a packet lies in a buffer: its first byte, and where what follows the length begins and ends.

    It is whole where the buffer reaches to `end`.
    """

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
    """The packet that begins at `at`; None where its length is not there yet. Raises ValueError where that is none."""
    size, length, shift = len(buffer), 0, 0
    place = at + 1
    while place < size:
        byte = buffer[place]
        place += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return Packet(buffer[at], place, place + length)
        shift += 7
        if shift == 7 * _LENGTH_BYTES_MAX:
            raise ValueError("a length has at most four bytes")
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


def publish_bytes(
    topic: bytes, payload: bytes, *, qos: int, retain: bool, duplicate: bool, packet_id: int, properties: bytes
) -> bytes:
    """A PUBLISH of QoS 0 or 1; `properties`: as they are packed, with their length; none for MQTT 3.1.1."""
    head = len(topic).to_bytes(2, "big") + topic
    if qos:
        head += packet_id.to_bytes(2, "big")
    length = len(head) + len(properties) + len(payload)
    first = PUBLISH | duplicate << 3 | qos << 1 | retain
    return bytes((first, *_length(length))) + head + properties + payload


def puback_bytes(packet_id: int) -> bytes:
    """A PUBACK that tells of success."""
    return bytes((PUBACK, 2, packet_id >> 8, packet_id & 0xFF))


def _length(length: int) -> list[int]:
    """In groups of seven bits, the lowest first, each but the last with the highest bit set."""
    groups: list[int] = []
    while True:
        length, low = length >> 7, length & 0x7F
        if not length:
            return [*groups, low]
        groups.append(low | 0x80)


def puback(buffer: bytes, packet: Packet) -> tuple[int, int] | None:
    """The packet id that a PUBACK answers, and its reason code, from 128 on a refusal; None where it is none."""
    _, start, end = packet
    if end - start < 2:
        return None
    return buffer[start] << 8 | buffer[start + 1], buffer[start + 2] if end - start > 2 else 0
