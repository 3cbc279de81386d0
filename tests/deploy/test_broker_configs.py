"""The brokers' configurations, in the real servers. Only paths, ports and the system user are changed."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import redis
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.servers import MosquittoBroker, RedisServer, find_redis_server
from services.settings import Settings
from tests.conftest import require_server
from tests.deploy.conftest import DEPLOY

WAIT_S = 10.0


class DeployedMosquitto(MosquittoBroker):
    """Mosquitto with deploy/mosquitto/mosquitto.conf."""

    def _command(self) -> list[str]:
        text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        text, ports = re.subn(r"^listener 1883$", f"listener {self.port} {self.host}", text, flags=re.M)
        text, places = re.subn(r"^(persistence_location) .*$", rf"\1 {self._data_folder}/", text, flags=re.M)
        assert (ports, places) == (1, 1)
        if os.geteuid() == 0:
            text += "\nuser root\n"
        config = self.folder / "mosquitto.conf"
        config.write_text(text)
        return [str(self.executable), "-c", str(config)]


class DeployedRedis(RedisServer):
    """Redis with deploy/redis/redis.conf."""

    def _command(self) -> list[str]:
        changed = ["--port", str(self.port), "--bind", self.host, "--dir", str(self._data_folder)]
        return [str(self.executable), str(DEPLOY / "redis" / "redis.conf"), *changed]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[DeployedMosquitto]:
    with require_server(lambda: DeployedMosquitto(tmp_path)) as server:
        yield server


@pytest.fixture(params=["bundled", "system"])
def deployed_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeployedRedis]:
    with require_server(lambda: DeployedRedis(tmp_path, executable=find_redis_server(request.param))) as server:
        yield server


class Subscriber:
    """A client with a session that outlasts its connection, as the edge worker's."""

    def __init__(self, broker: MosquittoBroker) -> None:
        self.payloads: list[bytes] = []
        self.subscribed, self.arrived, self.disconnected = threading.Event(), threading.Event(), threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "edge", protocol=paho.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("dewpoint/site/in/+", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.disconnected.set()
        self.client.on_message = self._message
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = Settings().mqtt.session_expiry_s
        self.client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.subscribed.wait(WAIT_S)

    def _message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self.payloads.append(bytes(message.payload))
        self.arrived.set()

    def leave(self) -> None:
        self.client.disconnect()
        assert self.disconnected.wait(WAIT_S)
        self.client.loop_stop()


def publish(broker: MosquittoBroker, payload: bytes) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "camera", protocol=paho.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    info = client.publish("dewpoint/site/in/camera-1", payload, qos=1)
    info.wait_for_publish(WAIT_S)
    assert info.is_published()
    client.disconnect()
    client.loop_stop()


def test_a_sample_published_while_the_edge_is_away_survives_a_restart_of_the_broker(mosquitto):
    Subscriber(mosquitto).leave()

    publish(mosquitto, b"a sample")
    mosquitto.restart()

    returned = Subscriber(mosquitto)
    assert returned.arrived.wait(WAIT_S)
    returned.leave()
    assert returned.payloads == [b"a sample"]


def test_the_broker_carries_a_payload_above_the_edges_limit_so_that_the_edge_can_count_it(mosquitto):
    subscriber = Subscriber(mosquitto)

    publish(mosquitto, bytes(Settings().limits.payload_bytes_max + 1))

    assert subscriber.arrived.wait(WAIT_S)
    subscriber.leave()


def test_the_broker_keeps_sessions_longer_than_the_edge_asks_for():
    [days] = re.findall(r"^persistent_client_expiration (\d+)d$", conf("mosquitto/mosquitto.conf"), flags=re.M)
    assert int(days) * 86400 > Settings().mqtt.session_expiry_s


def test_the_broker_sends_as_much_ahead_as_the_edge_takes():
    [ahead] = re.findall(r"^max_inflight_messages (\d+)$", conf("mosquitto/mosquitto.conf"), flags=re.M)
    assert int(ahead) >= Settings().mqtt.receive_max


def test_redis_keeps_its_entries_over_a_kill(deployed_redis):
    with redis.Redis(port=deployed_redis.port) as client:
        entry = client.xadd("dewpoint:{0123456789ab.0}:features", {"m": b"features"})

    deployed_redis.restart(hard=True)

    with redis.Redis(port=deployed_redis.port) as client:
        assert client.xrange("dewpoint:{0123456789ab.0}:features") == [(entry, {b"m": b"features"})]


def test_a_full_redis_refuses_and_evicts_nothing(deployed_redis):
    with redis.Redis(port=deployed_redis.port) as client:
        entry = client.xadd("dewpoint:{0123456789ab.0}:features", {"m": b"features"})
        client.config_set("maxmemory", 1)

        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.xadd("dewpoint:{0123456789ab.0}:features", {"m": b"more"})

        assert client.xrange("dewpoint:{0123456789ab.0}:features")[0][0] == entry


def test_the_edges_stop_escalating_well_before_redis_is_full(deployed_redis):
    """Features of a kilobyte, which is more than any shipped network sends, and half of the memory left over."""
    with redis.Redis(port=deployed_redis.port) as client:
        maxmemory_bytes = int(client.config_get("maxmemory")["maxmemory"])
    assert Settings().edge.queue_length_max * 2048 < maxmemory_bytes / 2


def conf(path: str) -> str:
    return (DEPLOY / path).read_text()
