"""Messages, and what each side owes the other for them: over one connection after another, in the link's thread.

What was received belongs to its connection: a packet id of an earlier one may by now be another message's. What was
sent and is unanswered does not, and is sent again under its packet id over the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from paho.mqtt.client import MQTTMessage

from services.common.logs import SparseLog, get_logger
from services.mqtt import packets, refusals
from services.mqtt.client import BufferedClient, packed_user_properties, pairs_of
from services.mqtt.messages import Delivery, Message, Outcome
from services.mqtt.publishes import Publish, PublishQueue

__all__ = ["Traffic"]

#: Packet ids of what is published here: those below are left to paho.
_PACKET_ID_MIN: Final = 1 << 15
_PACKET_IDS: Final = 1 << 15


class Traffic:
    """Reads and writes PUBLISH and PUBACK past paho's layers; paho reads and writes everything else.

    Args:
        broker: Its address, for the log.
        in_flight_max: Messages that may await acknowledgement.
        publishes: What is to be sent.
        receive: Gets what comes.
        may_read: Asked after each message: whether another may follow now.

    Attributes:
        generation: Of the connection that is open, counted from 1; none where none is.
        acknowledgements_due: Deliveries were marked as acknowledged since `acknowledge`; any thread may say so.
        acknowledgements_sent: So many, over all connections.
        reads: Messages and answers that came.
    """

    def __init__(
        self,
        *,
        broker: str,
        in_flight_max: int,
        publishes: PublishQueue,
        receive: Callable[[Delivery], None],
        may_read: Callable[[], bool],
    ) -> None:
        self._broker, self._in_flight_max, self._publishes = broker, in_flight_max, publishes
        self._receive, self._may_read = receive, may_read
        self._log, self._sparse_log = get_logger("mqtt").bind(broker=broker), SparseLog("mqtt")
        self.generation: int | None = None
        self.acknowledgements_due = False
        self.acknowledgements_sent = 0
        self.reads = 0
        self._five = False
        self._window = in_flight_max
        self._unacknowledged: dict[int, Delivery] = {}
        self._sent: dict[int, Publish] = {}
        self._unwritten: list[Publish] = []
        self._birth: Publish | None = None
        self._packet_id = _PACKET_ID_MIN

    def opened(self, client: BufferedClient, generation: int, *, five: bool, receive_max: int | None) -> None:
        """A connection is open: send again what an earlier one has sent and the broker has not answered.

        `five`: MQTT 5 is spoken; `receive_max`: messages that the broker lets be in flight.
        """
        self.generation, self._five = generation, five
        self._window = min(self._in_flight_max, receive_max or self._in_flight_max, _PACKET_IDS - 1)
        sent = list(self._sent.items())
        for packet_id, publish in sent[: self._window]:
            self._put(client, self._packet(publish.message, packet_id, duplicate=True))
        for packet_id, _ in sent[self._window :]:
            del self._sent[packet_id]
        self._publishes.put_back(publish for _, publish in sent[self._window :])

    def closed(self) -> None:
        """It is gone: whatever had come is sent again by the broker, and of QoS 0 what was not written is lost."""
        self.generation = None
        self._unacknowledged.clear()
        lost, self._unwritten = self._unwritten, []
        # The next connection begins with another birth, which says more.
        births = [packet_id for packet_id, publish in self._sent.items() if publish is self._birth]
        for publish in [*lost, *map(self._sent.pop, births)]:
            self._finish(publish, Outcome.LOST)

    def put_back(self) -> None:
        """What was sent is to be sent anew, and first: the broker has never seen a session of ours."""
        self._publishes.put_back(self._sent.values())
        self._sent.clear()

    def born(self, birth: Message) -> None:
        """Say this next."""
        self._birth = Publish(birth)
        self._publishes.push_in(self._birth)

    def is_due(self, client: BufferedClient) -> bool:
        """Whether there is something to send, and room for it."""
        if self.generation is None or not _has_room(client):
            return False
        return self.acknowledgements_due or (len(self._publishes) > 0 and len(self._sent) < self._window)

    def acknowledge(self, client: BufferedClient) -> None:
        """Acknowledge what is due in the order of receipt: one waits until all before it are acknowledged too."""
        if self.generation is None or not self.acknowledgements_due or not _has_room(client):
            return
        self.acknowledgements_due = False
        due = []
        for packet_id, delivery in self._unacknowledged.items():
            if not delivery.acknowledged:
                break
            due.append(packet_id)
        for packet_id in due:
            del self._unacknowledged[packet_id]
        self._put(client, b"".join(map(packets.puback_bytes, due)))
        self.acknowledgements_sent += len(due)

    def publish(self, client: BufferedClient) -> None:
        """Hand the socket what is queued, within the window; `written` once it has written all."""
        while self._publishes and len(self._sent) < self._window and _has_room(client):
            publish = self._publishes.take()
            packet_id = self._next_packet_id() if publish.message.qos else 0
            self._put(client, self._packet(publish.message, packet_id))
            if packet_id:
                self._sent[packet_id] = publish
            else:
                self._unwritten.append(publish)

    def written(self) -> None:
        """The socket has written all that it was handed: of QoS 0 there is nothing more to wait for."""
        written, self._unwritten = self._unwritten, []
        for publish in written:
            self._finish(publish, Outcome.ACKNOWLEDGED)

    def read(self, client: BufferedClient) -> bool:
        """Messages and answers to ours that have come; whether it is paho's turn: to read another packet, or an end."""
        sock = client.last_socket
        if sock is None or self.generation is None or not client.between_packets:
            return True
        if not sock.fill():
            return sock.ended
        while not sock.paused:
            buffer, at = sock.buffer
            if at == len(buffer):
                return False
            kind = buffer[at] & 0xF0
            if kind not in (packets.PUBLISH, packets.PUBACK):
                return True
            try:
                packet = packets.next_packet(buffer, at)
            except ValueError:
                return True
            if packet is None or packet.end > len(buffer):
                if not sock.fill(len(buffer) + 1 if packet is None else packet.end):
                    return sock.ended
                continue
            if kind == packets.PUBACK:
                answer = packets.puback(buffer, packet)
                if answer is None:
                    return True
                sock.read_up_to(packet.end)
                self._answered(*answer)
            else:
                message = packets.publish(buffer, packet, five=self._five)
                if message is None:
                    return True
                sock.read_up_to(packet.end)
                self._arrived(client, message)
        return False

    def received(self, client: BufferedClient, message: MQTTMessage) -> None:
        """A message that paho has read."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        read = packets.Published(topic, bytes(message.payload), message.qos, message.retain, message.dup, message.mid)
        self._arrived(client, read, pairs_of(message.properties))

    def tell(self, call: Callable[[], None]) -> None:
        """Tell somebody what cannot be told again: whoever fails at that takes neither this thread nor others along."""
        try:
            call()
        except Exception:
            self._log.exception("mqtt_listener_failed")

    def _arrived(
        self, client: BufferedClient, message: packets.Published, properties: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.reads += 1
        if self.generation is None:
            return
        topic, payload, qos, retain, duplicate, packet_id = message
        if qos and packet_id in self._unacknowledged:
            return  # sent again on this very connection (NATS does, after its ack_wait): it is in hand
        delivery = Delivery(
            topic, payload, qos, retain, duplicate, self.generation, time.time(), packet_id, properties=properties
        )
        if qos:
            self._unacknowledged[packet_id] = delivery
        self._receive(delivery)
        if not self._may_read() and client.last_socket is not None:
            client.last_socket.paused = True

    def _answered(self, packet_id: int, reason: int) -> None:
        """The broker has answered a publish."""
        self.reads += 1
        publish = self._sent.pop(packet_id, None)
        if publish is None:
            return
        outcome = Outcome.ACKNOWLEDGED
        if reason >= packets.REFUSAL:
            outcome = Outcome.REFUSED
            self._sparse_log.warning(
                "mqtt_publish_refused",
                broker=self._broker,
                topic=publish.message.topic,
                reason=refusals.of_publish(reason),
            )
        elif reason == packets.NO_SUBSCRIBERS:
            outcome = Outcome.NO_SUBSCRIBERS
        self._finish(publish, outcome)

    def _finish(self, publish: Publish, outcome: Outcome) -> None:
        self.tell(partial(self._publishes.finish, publish, outcome))

    def _packet(self, message: Message, packet_id: int, *, duplicate: bool = False) -> bytes:
        return packets.publish_bytes(
            message.topic.encode(),
            message.payload,
            qos=message.qos,
            retain=message.retain,
            duplicate=duplicate,
            packet_id=packet_id,
            properties=packed_user_properties(message.properties) if self._five else b"",
        )

    def _next_packet_id(self) -> int:
        """One that no message in flight has. paho counts its own from 1 up, one or two a connection."""
        while True:
            self._packet_id = _PACKET_ID_MIN + (self._packet_id + 1 - _PACKET_ID_MIN) % _PACKET_IDS
            if self._packet_id not in self._sent:
                return self._packet_id

    @staticmethod
    def _put(client: BufferedClient, data: bytes) -> None:
        if client.last_socket is not None:
            client.last_socket.put(data)


def _has_room(client: BufferedClient) -> bool:
    """Whether more may wait to be written."""
    return client.last_socket is not None and client.last_socket.has_room
