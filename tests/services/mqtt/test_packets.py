"""PUBLISH and PUBACK as bytes: read as paho reads them, or left to paho."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.mqtt import packets
from services.mqtt.client import packed_user_properties

TOPICS = st.text(st.characters(exclude_characters="\0#+", exclude_categories=("Cs",)), min_size=1, max_size=40)


def written(topic: str, payload: bytes, *, qos: int, retain: bool, duplicate: bool, mid: int, **more: Any) -> bytes:
    """What paho writes for a publish."""
    five = more.get("five", False)
    version = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, protocol=version)
    client._sock = object()
    client.on_socket_register_write = lambda *_: None
    client._send_publish(
        mid, topic.encode(), payload, qos, retain, duplicate, MQTTMessageInfo(mid), more.get("properties")
    )
    [packet] = client._out_packet
    client._sock = None
    return bytes(packet["packet"])


@given(
    topic=TOPICS,
    payload=st.binary(max_size=300),
    qos=st.sampled_from((0, 1)),
    retain=st.booleans(),
    duplicate=st.booleans(),
    mid=st.integers(1, 65535),
    five=st.booleans(),
    before=st.binary(max_size=5),
    behind=st.binary(max_size=5),
)
@example("t", b"x" * 20_000, 1, False, False, 1, True, b"", b"\x30")
def test_a_publish_is_read_as_it_was_written(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    duplicate: bool,
    mid: int,
    five: bool,
    before: bytes,
    behind: bytes,
) -> None:
    sent = written(topic, payload, qos=qos, retain=retain, duplicate=duplicate, mid=mid, five=five)
    buffer = before + sent + behind
    packet = packets.next_packet(buffer, len(before))
    assert packet is not None
    assert (packet.first & 0xF0, packet.end) == (packets.PUBLISH, len(before) + len(sent))
    found = packets.publish(buffer, packet, five=five)
    assert found == (topic, payload, qos, retain, duplicate, mid if qos else 0)


@given(topic=TOPICS, payload=st.binary(max_size=200), five=st.booleans(), cut=st.integers(1, 200))
def test_a_packet_that_is_not_whole_is_known_by_its_end(topic: str, payload: bytes, five: bool, cut: int) -> None:
    sent = written(topic, payload, qos=1, retain=False, duplicate=False, mid=7, five=five)
    rest = sent[: max(1, len(sent) - cut)]
    packet = packets.next_packet(rest, 0)
    assert packet is None or packet.end == len(sent) > len(rest)


def test_a_length_of_more_than_four_bytes_is_an_error() -> None:
    with pytest.raises(ValueError, match="four bytes"):
        packets.next_packet(b"\x30\xff\xff\xff\xff\x01" + b"x" * 99, 0)


@given(
    topic=TOPICS,
    payload=st.binary(max_size=300),
    qos=st.sampled_from((0, 1)),
    retain=st.booleans(),
    duplicate=st.booleans(),
    mid=st.integers(1, 65535),
    five=st.booleans(),
    pairs=st.lists(st.tuples(st.text("ab\u00fc", max_size=9), st.text("ab\u00fc", max_size=9)), max_size=3),
)
@example("t", b"x" * 20_000, 1, False, False, 1, True, [])
@example("t", b"x" * 3_000_000, 1, False, False, 1, True, [])
def test_a_publish_is_written_as_paho_writes_it(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    duplicate: bool,
    mid: int,
    five: bool,
    pairs: list[tuple[str, str]],
) -> None:
    properties = None
    if five and pairs:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = pairs
    expected = written(
        topic, payload, qos=qos, retain=retain, duplicate=duplicate, mid=mid, five=five, properties=properties
    )
    ours = packets.publish_bytes(
        topic.encode(),
        payload,
        qos=qos,
        retain=retain,
        duplicate=duplicate,
        packet_id=mid,
        properties=packed_user_properties(tuple(pairs)) if five else b"",
    )
    assert ours == expected


def test_an_acknowledgement_is_written() -> None:
    assert packets.puback_bytes(258) == b"\x40\x02\x01\x02"


def test_user_properties_are_left_to_paho() -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("traceparent", "00-1-2-01")]
    sent = written("t", b"x", qos=1, retain=False, duplicate=False, mid=7, five=True, properties=properties)
    packet = packets.next_packet(sent, 0)
    assert packet is not None
    assert packets.publish(sent, packet, five=True) is None


@given(body=st.binary(max_size=12), flags=st.integers(0, 15), five=st.booleans())
def test_whatever_a_broker_sends_is_read_within_its_packet_or_left_to_paho(body: bytes, flags: int, five: bool) -> None:
    buffer = bytes([packets.PUBLISH | flags, len(body)]) + body + b"BEHIND"
    packet = packets.next_packet(buffer, 0)
    assert packet is not None
    found = packets.publish(buffer, packet, five=five)
    assert found is None or (b"BEHIND"[:1] not in found.payload or b"B" in body)
    assert found is None or (found.qos < 2 and found.topic and bool(found.packet_id) == bool(found.qos))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x01\x02", (258, 0)),
        (b"\x01\x02\x00", (258, 0)),
        (b"\x01\x02\x10", (258, packets.NO_SUBSCRIBERS)),
        (b"\x01\x02\x87", (258, 0x87)),
        (b"\x01\x02\x00\x00", (258, 0)),
        (b"\x01\x02\x87\x03\x1f\x00\x00", (258, 0x87)),
        (b"\x01", None),
        (b"", None),
    ],
)
def test_an_answer_is_read_where_it_is_one(body: bytes, expected: tuple[int, int] | None) -> None:
    buffer = bytes([packets.PUBACK, len(body)]) + body + b"\xff"
    packet = packets.next_packet(buffer, 0)
    assert packet is not None
    assert packets.puback(buffer, packet) == expected
