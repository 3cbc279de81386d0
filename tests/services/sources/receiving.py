"""A subscriber of what sources send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Broker
from services.settings import MqttSettings, Settings, SiteSettings

QUIET = Console(quiet=True)


def settings_for(broker: Broker, **mqtt: object) -> Settings:
    """Of the site `home` at this broker."""
    return Settings(site=SiteSettings(name="home"), mqtt=MqttSettings(host=broker.host, port=broker.port, **mqtt))


@contextmanager
def receiving(broker: Broker) -> Iterator[list[Delivery]]:
    """All that devices publish meanwhile."""
    deliveries: list[Delivery] = []
    with MqttLink(
        settings_for(broker).mqtt,
        client_id="receiver",
        filters=[Filter("dewpoint/+/in/+")],
        listener=OnMessage(deliveries.append),
        persistent=False,
    ):
        yield deliveries
