"""What every alternative is told, and its connection to the broker: plain paho, as its documentation shows it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

#: The variable that names the file with what a process is told.
TOLD = "DEWPOINT_BENCH_TOLD"
#: As many as our own worker may have: paho's own default, 20, would hold the others up.
_IN_FLIGHT_MAX = 256

OnMessage = Callable[[mqtt.Client, Any, mqtt.MQTTMessage], None]


@dataclass(frozen=True)
class Site:
    """Where an alternative works.

    `share`: of samples that are hard; `threshold`: the exit's, for those with our edge half; `hard`: CRC-32 of the
    pixels of the hard samples, for those without. `http_port`: where a server of its own listens.
    """

    name: str
    net: str
    mqtt_port: int
    redis_port: int
    threshold: float
    hard: list[int]
    protocol: str = "5"
    http_port: int = 0

    @classmethod
    def told(cls) -> Self:
        """As the file says that the environment names."""
        return cls(**json.loads(Path(os.environ[TOLD]).read_text()))

    def client(self, *, manual_ack: bool = False) -> mqtt.Client:
        """A connected client."""
        version = MQTTProtocolVersion.MQTTv5 if self.protocol == "5" else MQTTProtocolVersion.MQTTv311
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version, manual_ack=manual_ack)
        client.max_inflight_messages_set(_IN_FLIGHT_MAX)
        client.connect("127.0.0.1", self.mqtt_port)
        return client

    def subscriber(self, on_message: OnMessage, *, manual_ack: bool = False) -> mqtt.Client:
        """A client that gets the samples of all devices of the site."""
        client = self.client(manual_ack=manual_ack)

        def on_connect(client: mqtt.Client, *_: Any) -> None:
            client.subscribe(f"dewpoint/{self.name}/in/+", qos=1)

        client.on_connect, client.on_message = on_connect, on_message
        return client


def answer_topic(topic: str) -> str:
    """Where the label of a sample goes that came by this topic."""
    return topic.replace("/in/", "/label/")


def label(sample_id: str, class_index: int, where: int | str) -> bytes:
    """A final label, in the fields that ours begin with; `where`: an exit's number, or "cloud"."""
    return json.dumps(
        {"id": sample_id, "class": class_index, "label": str(class_index), "exit": where, "status": "final"},
        separators=(",", ":"),
    ).encode()
