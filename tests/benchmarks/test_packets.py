"""The load generator's MQTT: what it writes, a broker reads; what a broker writes, it reads, however it is cut up."""

from __future__ import annotations

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.pipeline import packets
from benchmarks.pipeline.packets import PUBACK, PUBLISH, Packet

ids = st.integers(1, 65535)


@given(
    messages=st.lists(st.tuples(st.sampled_from([0, 1]), ids, st.binary(max_size=400)), max_size=8),
    size=st.integers(1, 50),
)
def test_packets_are_read_in_pieces_of_any_size(messages: list[tuple[int, int, bytes]], size: int) -> None:
    stream, expected = bytearray(), []
    for qos, packet_id, payload in messages:
        stream += packets.publish_start("a/b", len(payload), qos) + (packet_id.to_bytes(2, "big") if qos else b"")
        stream += payload + packets.puback(packet_id)
        expected += [Packet(PUBLISH, packet_id if qos else 0, payload), Packet(PUBACK, packet_id)]
    buffer, found = bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        found += list(packets.packets(buffer))
    assert found == expected
    assert not buffer


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("payload_bytes", [0, 100, 127, 128, 20_000])
def test_a_publish_is_the_one_that_paho_writes(qos: int, payload_bytes: int) -> None:
    payload = b"x" * payload_bytes
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    written: list[bytes] = []
    client._packet_queue = lambda _, packet, *rest: written.append(bytes(packet)) or mqtt.MQTT_ERR_SUCCESS  # type: ignore[assignment]
    client._sock = object()  # type: ignore[assignment]
    client._send_publish(7, b"in/device", payload, qos)
    client._sock = None
    packet_id = b"\x00\x07" if qos else b""
    assert packets.publish_start("in/device", len(payload), qos) + packet_id + payload == written[0]
