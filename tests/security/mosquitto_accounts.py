"""A real Mosquitto with the shipped configuration and ACLs, the accounts there, and those who come in by them."""

from __future__ import annotations

import os
import re
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from services.mqtt import MqttLink
from services.servers import MosquittoBroker, free_port
from services.settings import MqttSettings
from tests.deploy.conftest import DEPLOY
from tests.security.certificates import HOST, Authority
from tests.security.servers import Door, encrypted, password_file

WAIT_S = 20.0
NOT_AUTHORIZED = 135
DEVICES = ("camera-1", "camera-2", "edge-1")  # one of them has the name of a worker
WORKERS = ("edge-1", "edge-2", "operator", "console", "consumer", "gateway", "witness", "camera-3")
WITNESS = "\nuser witness\ntopic readwrite #\n"


def password(user: str) -> str:
    return f"{user}'s password"


class Deployed(MosquittoBroker):
    """Mosquitto with deploy/mosquitto/secure.conf; `port` is the devices' door, `workers_port` the other."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        self.workers_port = free_port()
        self.authority = authority
        self._shows = authority.sign(HOST)

    def _command(self) -> list[str]:
        places = {"/mosquitto/secrets/server.pem": self._shows.cert, "/mosquitto/secrets/server.key": self._shows.key}
        for role, users in (("devices", DEVICES), ("workers", WORKERS)):
            folder = self.folder / role
            folder.mkdir(exist_ok=True)
            places[f"/mosquitto/secrets/{role}.passwords"] = password_file(folder, {u: password(u) for u in users})
            rules = (DEPLOY / "mosquitto" / f"{role}.acl").read_text() + (WITNESS if role == "workers" else "")
            (folder / "acl").write_text(rules)
            (folder / "acl").chmod(0o600)
            places[f"/mosquitto/config/{role}.acl"] = folder / "acl"
        text = (DEPLOY / "mosquitto" / "secure.conf").read_text()
        for place, path in places.items():
            assert place in text
            text = text.replace(place, str(path))
        text = text.replace("/mosquitto/data/", f"{self._data_folder}/")
        text = text.replace("listener 8883", f"listener {self.port} {HOST}")
        text = text.replace("listener 8884", f"listener {self.workers_port} {HOST}")
        assert not re.search(r"^[^#]*/mosquitto/", text, flags=re.M)
        (self.folder / "mosquitto.conf").write_text(text + ("\nuser root\n" if os.geteuid() == 0 else ""))
        return [str(self.executable), "-c", str(self.folder / "mosquitto.conf")]

    def _probe(self, connection: Any) -> bool:
        body = b"\x00\x04MQTT\x04\x02\x00\x0a\x00\x05probe"
        with encrypted(connection, Door(self.authority, self._shows)) as speaking:
            speaking.sendall(bytes([0x10, len(body)]) + body)
            return bool(speaking.recv(4)[:1] == b"\x20")


@dataclass(frozen=True)
class Who:
    """Somebody with an account, and the door they come in by."""

    user: str
    door: str = "workers"


@dataclass
class Heard:
    topic: str
    payload: bytes


class Party:
    """A plain client, without any of our code; `reasons` are MQTT 5's answers to its publishes."""

    def __init__(
        self, broker: Deployed, who: Who, *, protocol: int = paho.MQTTv5, client_id: str | None = None
    ) -> None:
        self.heard: list[Heard] = []
        self.reasons: dict[int, int] = {}
        self.granted: list[int] | None = None
        self.refused: int | None = None
        self._news = threading.Condition()
        self._connected = False
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id or uuid.uuid4().hex, protocol=protocol)
        self.client.username_pw_set(who.user, password(who.user))
        self.client.tls_set(ca_certs=str(broker.authority.ca_file))
        self.client.on_connect, self.client.on_message = self._on_connect, self._on_message
        self.client.on_publish, self.client.on_subscribe = self._on_publish, self._on_subscribe
        self.client.connect(HOST, broker.port if who.door == "devices" else broker.workers_port)
        self.client.loop_start()
        self.wait(lambda: self._connected or self.refused is not None)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1 and wait for the answer: its reason (always 0 in MQTT 3.1.1)."""
        info = self.client.publish(topic, payload, qos=1, retain=retain)
        self.wait(lambda: info.mid in self.reasons)
        return self.reasons[info.mid]

    def subscribe(self, topic: str) -> None:
        self.granted = None
        self.client.subscribe(topic, qos=1)
        self.wait(lambda: self.granted is not None)

    def hears(self, payload: bytes) -> bool:
        return any(one.payload == payload for one in self.heard)

    def wait(self, condition: Any) -> None:
        with self._news:
            assert self._news.wait_for(condition, WAIT_S)

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected, self.refused = not reason.is_failure, reason.value if reason.is_failure else None
        self._tell()

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload)))
        self._tell()

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self.reasons[mid] = reason.value
        self._tell()

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        self.granted = [reason.value for reason in reasons]
        self._tell()


def is_passed_on(broker: Deployed, witness: Party, who: Who, topic: str, protocol: int) -> bool:
    """Whether a publish reaches somebody: all that was published before the witness' own word has come by then."""
    payload, word = uuid.uuid4().bytes, uuid.uuid4().bytes
    party = Party(broker, who, protocol=protocol)
    reason = party.publish(topic, payload)
    party.leave()
    witness.publish("dewpoint/word", word)
    witness.wait(lambda: witness.hears(word))
    passed = witness.hears(payload)
    if protocol == paho.MQTTv5:
        assert (reason == NOT_AUTHORIZED) == (not passed)
    return passed


def link(broker: Deployed, user: str, folder: Path, *, secret: str | None = None, **more: Any) -> MqttLink:
    """Our own connection, under an account of the workers'."""
    return MqttLink(account(broker, user, folder, secret=secret), **more)


def account(broker: Deployed, user: str, folder: Path, *, secret: str | None = None) -> MqttSettings:
    """How one of the workers' accounts connects."""
    path = folder / "password"
    path.write_text(secret or password(user))
    path.chmod(0o600)
    return MqttSettings(
        host=HOST,
        port=broker.workers_port,
        username=user,
        password_file=path,
        tls=encryption(broker),
        connect_timeout_s=WAIT_S,
    )


def encryption(broker: Deployed) -> Any:
    """The settings `tls` of one who knows the broker's authority."""
    return {"enabled": True, "ca_file": broker.authority.ca_file}
