"""What each side owes the other, over one connection after another; the socket is real, the broker is the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from services.mqtt import packets
from services.mqtt.client import FIVE, BufferedClient, BufferedSocket, make_client
from services.mqtt.messages import Delivery, Message, Outcome
from services.mqtt.publishes import Publish, PublishQueue
from services.mqtt.traffic import Traffic
from services.settings import MqttSettings


class Line:
    """A client, its traffic, and the broker's end of its present connection."""

    def __init__(self, in_flight_max: int = 10) -> None:
        self.client: BufferedClient = make_client(MqttSettings(), FIVE, client_id="c", persistent=True, will=None)
        self.queue = PublishQueue(100)
        self.came: list[Delivery] = []
        self.told: list[Outcome] = []
        self.traffic = Traffic(
            broker="test",
            in_flight_max=in_flight_max,
            publishes=self.queue,
            receive=self.came.append,
            may_read=lambda: True,
        )
        self._ends: list[socket.socket] = []

    def connect(self, generation: int, *, receive_max: int | None = None) -> None:
        near, self.broker = socket.socketpair()
        near.setblocking(False)
        self._ends += [near, self.broker]
        self.client.last_socket = BufferedSocket(near)
        self.traffic.opened(self.client, generation, five=True, receive_max=receive_max)

    def queued(self, *payloads: bytes, qos: int = 1) -> None:
        for payload in payloads:
            assert self.queue.add(Publish(Message("t", payload, qos), self.told.append), 0)

    def sent(self) -> list[packets.Published]:
        """What the broker has got since the last time; all that waits is written before."""
        assert self.client.last_socket is not None
        self.client.last_socket.flush()
        self.broker.setblocking(False)
        try:
            buffer = self.broker.recv(1 << 16)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(buffer):
            packet = packets.next_packet(buffer, at)
            assert packet is not None
            message = packets.publish(buffer, packet, five=True)
            assert message is not None
            found.append(message)
            at = packet.end
        return found

    def close(self) -> None:
        for end in self._ends:
            end.close()


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.close()


def test_what_is_unanswered_is_sent_again_in_order_under_its_packet_ids(line: Line) -> None:
    line.connect(1)
    line.queued(b"1", b"2", b"3")
    line.traffic.publish(line.client)
    first = line.sent()
    line.broker.sendall(packets.puback_bytes(first[0].packet_id))
    assert not line.traffic.read(line.client)
    assert line.told == [Outcome.ACKNOWLEDGED]

    line.traffic.closed()
    line.connect(2)

    again = line.sent()
    assert [(one.payload, one.packet_id) for one in again] == [(one.payload, one.packet_id) for one in first[1:]]
    assert [one.duplicate for one in first + again] == [False] * 3 + [True] * 2


def test_no_more_is_sent_again_than_the_broker_lets_be_in_flight_and_the_rest_follows(line: Line) -> None:
    line.connect(1)
    line.queued(b"1", b"2", b"3")
    line.traffic.publish(line.client)
    line.sent()
    line.traffic.closed()
    line.connect(2, receive_max=1)
    line.traffic.publish(line.client)
    [again] = line.sent()
    assert again.payload == b"1"
    line.broker.sendall(packets.puback_bytes(again.packet_id))
    line.traffic.read(line.client)
    line.traffic.publish(line.client)
    assert [one.payload for one in line.sent()] == [b"2"]


def test_a_birth_makes_way_for_the_next(line: Line) -> None:
    line.connect(1)
    line.traffic.born(Message("status", b"online"))
    line.queued(b"1")
    line.traffic.publish(line.client)
    assert [one.payload for one in line.sent()] == [b"online", b"1"]
    line.traffic.closed()
    line.connect(2)
    assert [one.payload for one in line.sent()] == [b"1"]


def test_of_qos_0_is_told_that_it_was_written_or_lost(line: Line) -> None:
    line.connect(1)
    line.queued(b"1", qos=0)
    line.traffic.publish(line.client)
    assert line.told == []
    line.traffic.written()
    assert line.told == [Outcome.ACKNOWLEDGED]

    line.queued(b"2", qos=0)
    line.traffic.publish(line.client)
    line.traffic.closed()
    assert line.told == [Outcome.ACKNOWLEDGED, Outcome.LOST]
    assert line.queue.owed == 0


def test_an_answer_in_pieces_is_read_once_it_is_whole(line: Line) -> None:
    line.connect(1)
    line.queued(b"1")
    line.traffic.publish(line.client)
    [sent] = line.sent()
    answer = packets.puback_bytes(sent.packet_id)
    assert line.client.last_socket is not None
    for piece in (answer[:1], answer[1:3]):
        line.broker.sendall(piece)
        assert not line.traffic.read(line.client), "it is not for paho, who would not know the packet id"
        assert line.client.last_socket.pending() == 0, "nobody need look again before more has come"
        assert line.told == []
    line.broker.sendall(answer[3:])
    assert not line.traffic.read(line.client)
    assert line.told == [Outcome.ACKNOWLEDGED]


def test_a_message_that_is_many_reads_long_comes_whole(line: Line) -> None:
    line.connect(1)
    payload = bytes(range(256)) * 2000
    sent = packets.publish_bytes(b"t", payload, qos=1, retain=False, duplicate=False, packet_id=7, properties=b"\0")
    for start in range(0, len(sent), 60_000):
        line.broker.sendall(sent[start : start + 60_000])
        assert not line.traffic.read(line.client)
    assert [one.payload for one in line.came] == [payload]


def test_acknowledgements_go_out_in_the_order_of_receipt(line: Line) -> None:
    line.connect(1)
    for packet_id in (1, 2, 3):
        line.broker.sendall(
            packets.publish_bytes(
                b"t", b"x", qos=1, retain=False, duplicate=False, packet_id=packet_id, properties=b"\0"
            )
        )
    line.traffic.read(line.client)
    line.came[1].acknowledged = True
    line.traffic.acknowledgements_due = True
    line.traffic.acknowledge(line.client)
    assert line.traffic.acknowledgements_sent == 0
    line.came[0].acknowledged = True
    line.traffic.acknowledgements_due = True
    line.traffic.acknowledge(line.client)
    assert line.client.last_socket is not None
    line.client.last_socket.flush()
    assert line.broker.recv(100) == packets.puback_bytes(1) + packets.puback_bytes(2)


def test_the_end_of_a_connection_is_for_paho_to_see(line: Line) -> None:
    line.connect(1)
    line.broker.close()
    assert line.traffic.read(line.client)
