"""MQTT brokers of one's own: NATS and Mosquitto."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from services.servers.find import find_mosquitto, find_nats_server
from services.servers.server import Server

__all__ = ["BROKERS", "Broker", "BrokerKind", "MosquittoBroker", "NatsBroker"]

BrokerKind = Literal["nats", "mosquitto"]


class Broker(Server):
    """An MQTT broker that stores sessions and queued messages."""

    def _probe(self, connection: socket.socket) -> bool:
        client_id = b"dewpoint-probe"
        body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id
        connection.sendall(bytes([0x10, len(body)]) + body)
        answer = connection.recv(4)
        connection.sendall(b"\xe0\x00")
        return answer == b"\x20\x02\x00\x00"


class NatsBroker(Broker):
    """nats-server with JetStream and its MQTT 3.1.1 listener. It knows no shared subscriptions.

    Messages without acknowledgement are sent again after `ack_wait_s`, connected or not, which is why it is minutes.
    """

    name = "nats-server"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        executable: Path | None = None,
        ack_wait_s: int = 600,
        payload_bytes_max: int = 8 << 20,
    ) -> None:
        super().__init__(folder, port=port, executable=executable)
        self.ack_wait_s = ack_wait_s
        self.payload_bytes_max = payload_bytes_max

    @classmethod
    def find(cls) -> Path:
        """Where the executable lies. Raises ServerMissingError."""
        return find_nats_server()

    def _command(self) -> list[str]:
        config = self.folder / "nats-server.conf"
        # The name must be the same after a restart: JetStream's files belong to it. MQTT allows a session 65,535
        # unacknowledged messages over all its subscriptions, and one that ends in # counts twice.
        config.write_text(
            f"""server_name: dewpoint
listen: "{self.host}:-1"
max_payload: {self.payload_bytes_max}
jetstream {{
  store_dir: "{self._data_folder}"
  max_memory_store: 256MB
  max_file_store: 8GB
}}
mqtt {{
  listen: "{self.address}"
  ack_wait: "{self.ack_wait_s}s"
  max_ack_pending: 4096
}}
"""
        )
        return [str(self.executable), "-c", str(config)]


class MosquittoBroker(Broker):
    """Mosquitto with persistence and generous queues. It saves its state when it is stopped, not when it is killed."""

    name = "mosquitto"

    @classmethod
    def find(cls) -> Path:
        """Where the executable lies. Raises ServerMissingError."""
        return find_mosquitto()

    def _command(self) -> list[str]:
        config = self.folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self._data_folder}/",
            "max_queued_messages 1000000",
            "max_queued_bytes 0",
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # it would change to a user who cannot write into our folder
        config.write_text("\n".join(lines) + "\n")
        return [str(self.executable), "-c", str(config)]


BROKERS: dict[BrokerKind, type[Broker]] = {"nats": NatsBroker, "mosquitto": MosquittoBroker}
