"""The shipped Mosquitto configuration and ACLs, in a real broker: what each may do, and what it tries in vain.

An MQTT 3.1.1 broker drops a publish that is not allowed and acknowledges it all the same; so what counts is what a
subscriber with all rights sees. With MQTT 5 the broker says why.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.cli import set_points
from services.messages import Control, Status
from services.mqtt import Delivery, Filter, Message, MqttError, MqttLink, Outcome
from services.settings import MqttSettings, Settings
from tests.conftest import require_server
from tests.deploy.conftest import DEPLOY
from tests.security.certificates import HOST, Authority
from tests.security.mosquitto_accounts import (
    WAIT_S,
    Deployed,
    Party,
    Who,
    account,
    encryption,
    is_passed_on,
    link,
    password,
)
from tests.security.servers import Door, Mosquitto, tls_lines
from tests.services.mqtt.listening import Listening


@pytest.fixture(scope="module")
def broker(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with require_server(lambda: Deployed(tmp_path_factory.mktemp("broker"), authority)) as server:
        yield server


@pytest.fixture(scope="module")
def witness(broker: Deployed) -> Iterator[Party]:
    """Sees everything."""
    party = Party(broker, Who("witness"))
    party.subscribe("dewpoint/#")
    yield party
    party.leave()


@pytest.fixture(params=[paho.MQTTv5, paho.MQTTv311], ids=["mqtt-5", "mqtt-3.1.1"])
def protocol(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


CAMERA = Who("camera-1", "devices")
NAMESAKE = Who("edge-1", "devices")
EDGE, OPERATOR, CONSUMER, GATEWAY, UNLISTED = map(Who, ("edge-1", "operator", "consumer", "gateway", "camera-3"))
CONSOLE = Who("console")


@pytest.mark.parametrize(
    ("who", "topic"),
    [
        (CAMERA, "in/camera-1"),
        (EDGE, "label/camera-1"),
        (EDGE, "status/edge-1"),
        (OPERATOR, "control"),
        (CONSOLE, "control"),
        (GATEWAY, "in/camera-7"),
    ],
    ids=str,
)
def test_what_is_theirs_to_say_is_passed_on(broker, witness, protocol, who, topic):
    assert is_passed_on(broker, witness, who, f"dewpoint/site/{topic}", protocol)


@pytest.mark.parametrize(
    ("who", "topic"),
    [
        (CAMERA, "site/in/camera-2"),
        (CAMERA, "site/in/camera-1/x"),
        (CAMERA, "elsewhere/in/camera-1"),
        (CAMERA, "site/label/camera-1"),
        (CAMERA, "site/status/edge-1"),
        (CAMERA, "site/control"),
        (NAMESAKE, "site/label/camera-1"),
        (NAMESAKE, "site/status/edge-1"),
        (EDGE, "site/in/camera-1"),
        (EDGE, "site/status/edge-2"),
        (EDGE, "site/control"),
        (OPERATOR, "site/label/camera-1"),
        (OPERATOR, "site/in/camera-1"),
        (CONSOLE, "site/label/camera-1"),
        (CONSOLE, "site/in/camera-1"),
        (CONSUMER, "site/label/camera-1"),
        (CONSUMER, "site/control"),
        (CONSUMER, "site/in/consumer"),
        (GATEWAY, "site/label/camera-1"),
        (UNLISTED, "site/in/camera-3"),
    ],
    ids=str,
)
def test_what_is_not_reaches_nobody(broker, witness, protocol, who, topic):
    assert not is_passed_on(broker, witness, who, f"dewpoint/{topic}", protocol)


@pytest.mark.parametrize(
    ("who", "subscribed", "published"),
    [
        (EDGE, "dewpoint/site/in/+", "dewpoint/site/in/camera-1"),
        (EDGE, "dewpoint/site/control", "dewpoint/site/control"),
        (OPERATOR, "dewpoint/site/status/#", "dewpoint/site/status/edge-1"),
        (CONSOLE, "dewpoint/site/in/+", "dewpoint/site/in/camera-1"),
        (CONSOLE, "dewpoint/site/label/+", "dewpoint/site/label/camera-1"),
        (CONSUMER, "dewpoint/site/label/#", "dewpoint/site/label/camera-1"),
        (CONSUMER, "dewpoint/site/status/+", "dewpoint/site/status/edge-1"),
        (CAMERA, "dewpoint/site/label/camera-1", "dewpoint/site/label/camera-1"),
    ],
    ids=str,
)
def test_what_is_theirs_to_hear_reaches_them(broker, witness, who, subscribed, published):
    party = Party(broker, who)
    party.subscribe(subscribed)
    payload = uuid.uuid4().bytes
    witness.publish(published, payload)
    party.wait(lambda: party.hears(payload))
    party.leave()


@pytest.mark.parametrize(
    ("who", "subscribed", "published", "own"),
    [
        (CAMERA, "dewpoint/#", "dewpoint/site/label/camera-2", "dewpoint/site/label/camera-1"),
        (CAMERA, "#", "dewpoint/site/in/camera-2", "dewpoint/site/label/camera-1"),
        (CAMERA, "dewpoint/site/#", "dewpoint/site/control", "dewpoint/site/label/camera-1"),
        (CONSUMER, "dewpoint/#", "dewpoint/site/in/camera-1", "dewpoint/site/label/camera-1"),
        (CONSUMER, "dewpoint/#", "dewpoint/site/control", "dewpoint/site/label/camera-1"),
        (OPERATOR, "dewpoint/#", "dewpoint/site/in/camera-1", "dewpoint/site/control"),
        (EDGE, "dewpoint/#", "dewpoint/site/label/camera-1", "dewpoint/site/in/camera-1"),
    ],
    ids=str,
)
def test_a_wide_filter_brings_no_more_than_what_is_theirs(broker, witness, protocol, who, subscribed, published, own):
    party = Party(broker, who, protocol=protocol)
    party.subscribe(subscribed)
    secret, word = uuid.uuid4().bytes, uuid.uuid4().bytes
    witness.publish(published, secret)
    witness.publish(own, word)
    party.wait(lambda: party.hears(word))
    assert not party.hears(secret)
    party.leave()


@pytest.mark.parametrize(
    "who", [Who("camera-1", "workers"), Who("operator", "devices"), Who("nobody", "workers")], ids=str
)
def test_an_account_opens_one_door_only(broker, who):
    party = Party(broker, who)
    assert party.refused is not None
    party.client.loop_stop()


def test_a_device_cannot_take_a_workers_session_by_its_client_id(broker, wait_for, tmp_path):
    lost = threading.Event()
    with link(
        broker, "edge-1", tmp_path, client_id="dewpoint-site-edge-1", listener=Listening(on_close=lost.set)
    ) as edge:
        intruder = Party(broker, CAMERA, client_id="dewpoint-site-edge-1")
        assert intruder.publish("dewpoint/site/in/camera-1", b"sample") in (0, 16)
        assert edge.connected
        assert not lost.is_set()
        intruder.leave()


def test_a_devices_will_is_bound_by_its_rights_too(broker, witness):
    client = paho.Client(CallbackAPIVersion.VERSION2, "x", protocol=paho.MQTTv5)
    client.username_pw_set("camera-1", password("camera-1"))
    client.tls_set(ca_certs=str(broker.authority.ca_file))
    client.will_set("dewpoint/site/status/edge-1", b"forged will", qos=1)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(HOST, broker.port, properties=_forgotten())
    client.loop_start()
    assert connected.wait(WAIT_S)
    gone = threading.Event()
    client.on_disconnect = lambda *_: gone.set()
    client.disconnect(reasoncode=_with_will())
    assert gone.wait(WAIT_S)
    client.loop_stop()
    word = uuid.uuid4().bytes
    witness.publish("dewpoint/word", word)
    witness.wait(lambda: witness.hears(word))
    assert not witness.hears(b"forged will")


def test_our_edges_connection_works_under_its_rights(broker, witness, tmp_path, wait_for):
    received: list[bytes] = []
    status = Message("dewpoint/site/status/edge-1", b"online", retain=True)
    will = Message("dewpoint/site/status/edge-1", b"offline", retain=True)
    filters = [Filter("dewpoint/site/in/+")]
    with link(
        broker,
        "edge-1",
        tmp_path,
        client_id="dewpoint-site-edge-1",
        filters=filters,
        listener=Listening(on_message=lambda delivery: received.append(delivery.payload), birth=status),
        will=will,
    ) as edge:
        sample, label = uuid.uuid4().bytes, uuid.uuid4().bytes
        device = Party(broker, CAMERA)
        assert device.publish("dewpoint/site/in/camera-1", sample) == 0
        wait_for(lambda: sample in received, "the sample", timeout_s=WAIT_S)
        told: list[Outcome] = []
        edge.publish("dewpoint/site/label/camera-1", label, on_done=told.append)
        wait_for(lambda: told == [Outcome.ACKNOWLEDGED], "the label is taken", timeout_s=WAIT_S)
        witness.wait(lambda: witness.hears(label) and witness.hears(b"online"))
        device.leave()


def test_a_refused_publish_is_told_where_the_broker_tells(broker, tmp_path, wait_for):
    told: list[Outcome] = []
    with link(broker, "consumer", tmp_path, client_id="c") as connected:
        connected.publish("dewpoint/site/control", b"x", on_done=told.append)
        wait_for(lambda: told == [Outcome.REFUSED], "the refusal", timeout_s=WAIT_S)


def test_a_wrong_password_is_refused_with_a_remedy(broker, tmp_path):
    with pytest.raises(MqttError, match=r"mqtt\.username and mqtt\.password_file") as caught:
        link(broker, "edge-1", tmp_path, secret="a guess", client_id="c").start()
    assert "a guess" not in str(caught.value)


def test_nobody_gets_in_without_a_name(broker):
    settings = MqttSettings(host=HOST, port=broker.workers_port, tls=encryption(broker), connect_timeout_s=WAIT_S)
    with pytest.raises(MqttError, match=r"set mqtt\.username and mqtt\.password_file"):
        MqttLink(settings, client_id="c", persistent=False).start()


def test_a_certificates_common_name_may_stand_for_the_account(authority, tmp_path, wait_for):
    """As docs/how-to/security.md says: no passwords, and the same rules."""
    lines = tls_lines(Door(authority, authority.sign(HOST), mutual=True))
    rules = tmp_path / "acl"
    rules.write_text((DEPLOY / "mosquitto" / "devices.acl").read_text())
    rules.chmod(0o600)
    lines += ["allow_anonymous false", "use_identity_as_username true", f"acl_file {rules}"]
    door = Door(authority, authority.sign(HOST), mutual=True)
    with require_server(lambda: Mosquitto(tmp_path / "broker", lines, door)) as server:
        shows = authority.sign("camera-1", common_name="camera-1")
        tls = {"enabled": True, "ca_file": authority.ca_file, "cert_file": shows.cert, "key_file": shows.key}
        settings = MqttSettings(host=HOST, port=server.port, tls=tls, connect_timeout_s=WAIT_S)
        told: list[Outcome] = []
        with MqttLink(settings, client_id="camera-1", persistent=False) as camera:
            camera.publish("dewpoint/site/in/camera-1", b"sample", on_done=told.append)
            camera.publish("dewpoint/site/in/camera-2", b"sample", on_done=told.append)
            wait_for(lambda: len(told) == 2, "both answers", timeout_s=WAIT_S)
    assert told == [Outcome.NO_SUBSCRIBERS, Outcome.REFUSED]


def test_an_operator_may_send_set_points_and_hear_the_workers_answer_and_a_worker_may_not(broker, tmp_path):
    heard: list[bytes] = []
    (tmp_path / "edge").mkdir()
    answer = Status("online", "edge-1", "digits@d61f5070b921", "numpy", {"error": None, "set_points": 1}).encode()

    def answers(delivery: Delivery) -> None:
        heard.append(delivery.payload)
        edge.publish("dewpoint/site/status/edge-1", answer, retain=True)

    filters = [Filter("dewpoint/site/control", retained="always")]
    online = Message("dewpoint/site/status/edge-1", answer.replace(b":1}", b":0}"), retain=True)
    listening = Listening(on_message=answers, birth=online)
    edge = link(broker, "edge-1", tmp_path / "edge", client_id="e", filters=filters, listener=listening)
    with edge:
        found = set_points.send(
            Settings(mqtt=account(broker, "operator", tmp_path)), Control("fixed", 45), timeout_s=WAIT_S
        )
        assert [(one.worker, one.outcome) for one in found] == [("edge-1", "accepted")]
        assert heard == [Control("fixed", 45).encode()]
        with pytest.raises(MqttError, match=r"refuses dewpoint/site/control; may this account write there"):
            set_points.send(Settings(mqtt=account(broker, "consumer", tmp_path)), None, timeout_s=WAIT_S)


def _forgotten() -> Properties:
    return Properties(PacketTypes.CONNECT)


def _with_will() -> Any:
    from paho.mqtt.reasoncodes import ReasonCode

    return ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
