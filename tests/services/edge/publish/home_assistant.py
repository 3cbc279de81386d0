"""Home Assistant, as far as a broker sees of it: who hears the discovery messages and shows what labels say."""

from __future__ import annotations

import uuid
from typing import Any

from services.messages import announcement_topic
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker
from services.settings import MqttSettings
from tests.services.edge.site import SITE
from tests.services.messages.home_assistant_schema import Entity, availability, discovered


class HomeAssistant:
    """What Home Assistant would know: retained discovery messages, and the states of the entities in them."""

    def __init__(self, broker: Broker, prefix: str = "homeassistant") -> None:
        self._prefix = prefix
        self.sent: list[tuple[str, bytes]] = []
        self.devices: dict[str, dict[str, Any]] = {}
        self.available: dict[str, bool | None] = {}
        self._entities: dict[str, dict[str, Entity]] = {}
        self._last: dict[str, bytes] = {}
        self._link = MqttLink(
            MqttSettings(port=broker.port),
            client_id=f"home-assistant-{uuid.uuid4()}",
            persistent=False,
            filters=[Filter(f"{prefix}/device/+/config"), Filter("dewpoint/#")],
            listener=OnMessage(self._hear),
        )

    def says(self, payload: bytes) -> None:
        """Publish its status, as when it has started."""
        self._link.publish(f"{self._prefix}/status", payload, qos=0, timeout_s=5)
        assert self._link.flush(timeout_s=30)

    def message(self, device: str) -> dict[str, Any]:
        """What was last announced of a device."""
        return self.devices[announcement_topic(self._prefix, SITE, device)]

    def state(self, device: str, entity: str) -> str:
        """An entity's state."""
        return self._entities[announcement_topic(self._prefix, SITE, device)][entity].state

    def __enter__(self) -> HomeAssistant:
        self._link.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._link.stop()

    def _hear(self, delivery: Delivery) -> None:
        self._link.acknowledge([delivery])
        if delivery.topic.startswith(self._prefix):
            self.sent.append((delivery.topic, delivery.payload))
            if not delivery.payload:
                self.devices.pop(delivery.topic, None)
                return
            message = self.devices[delivery.topic] = discovered(delivery.topic, delivery.payload)
            parts = message["components"].items()
            self._entities[delivery.topic] = {key: Entity(component) for key, component in parts}
        elif delivery.payload:
            self._last[delivery.topic] = delivery.payload
        for topic, message in self.devices.items():
            if message["availability_topic"] in self._last:  # retained: it may have come before the device was known
                self.available[topic] = availability(message, self._last[message["availability_topic"]])
            if message["state_topic"] == delivery.topic:
                for entity in self._entities[topic].values():
                    entity.take(delivery.payload)
