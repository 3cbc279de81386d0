"""Two clients with one client id: what tells them from a network that fails, and that they slow down."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from services.mqtt import MqttLink
from services.mqtt.rivals import Rivals
from services.servers import Broker
from services.settings import MqttSettings
from tests.conftest import WaitFor
from tests.services.mqtt.listening import Listening
from tests.services.mqtt.proxy import Proxy


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rivals(clock: Clock) -> Rivals:
    return Rivals(quiet_s=60.0, clock=clock)


def a_connection(rivals: Rivals, clock: Clock, lasting_s: float, *, taken_over: bool = False) -> bool:
    rivals.opened()
    clock.now += lasting_s
    return rivals.lost(taken_over=taken_over)


def test_the_brokers_word_is_enough_and_is_forgotten_after_a_quiet_time(rivals: Rivals, clock: Clock) -> None:
    a_connection(rivals, clock, 3600.0, taken_over=True)
    assert (rivals.contested, rivals.taken_over) == (True, 1)
    rivals.opened()
    clock.now += 59.0
    assert rivals.contested
    clock.now += 2.0
    assert not rivals.contested
    a_connection(rivals, clock, 1.0)
    assert not rivals.contested, "what was before the quiet time counts no more"


def test_connections_that_end_soon_are_a_sign_only_several_in_a_row(rivals: Rivals, clock: Clock) -> None:
    for _ in range(10):
        for _ in range(3):
            assert not a_connection(rivals, clock, 0.5)
        assert a_connection(rivals, clock, 6.0)
        assert (rivals.contested, rivals.taken_over) == (False, 0)
    for _ in range(4):
        a_connection(rivals, clock, 0.5)
    assert (rivals.contested, rivals.taken_over) == (True, 1)
    assert not a_connection(rivals, clock, 20.0), "of those that fight for a session, 20 s is no long time"
    assert (rivals.contested, rivals.taken_over) == (True, 2)


def test_what_an_earlier_process_left_late_is_no_sign_alone_and_with_another_it_is(
    rivals: Rivals, clock: Clock
) -> None:
    rivals.opened()
    rivals.seen(now=False)
    assert not rivals.contested
    a_connection(rivals, clock, 1.0)
    assert rivals.contested


def test_one_who_writes_in_our_name_now_is_there(rivals: Rivals) -> None:
    rivals.opened()
    rivals.seen(now=True)
    assert rivals.contested


def test_a_loss_of_which_two_signs_tell_is_counted_once(rivals: Rivals, clock: Clock) -> None:
    a_connection(rivals, clock, 1.0, taken_over=True)
    rivals.opened()
    rivals.seen(now=False)
    assert rivals.taken_over == 1


def test_the_brokers_word_is_understood(wait_for: WaitFor) -> None:
    """Packets of MQTT 5 by hand: Mosquitto 2.0.11 hangs up without this word."""
    connack, taken_over = bytes.fromhex("2003000000"), bytes.fromhex("e0028e00")
    signs: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = MqttSettings(port=server.getsockname()[1], protocol="5", backoff_min_s=20.0)
        link = MqttLink(settings, client_id="a", persistent=False, listener=Listening(on_contested=signs.append))

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(connack)
                wait_for(lambda: link.connected, "the connection")
                connection.sendall(taken_over)

        serving = threading.Thread(target=serve)
        serving.start()
        with link:
            wait_for(lambda: signs, "it is told")
            assert signs == ["the broker says that the session was taken over"]
            assert (link.contested, link.taken_over) == (True, 1)
        serving.join()


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
def test_two_with_one_client_id_notice_it_and_slow_down(mqtt_broker: Broker, wait_for: WaitFor) -> None:
    settings = MqttSettings(port=mqtt_broker.port, backoff_min_s=0.05, backoff_max_s=0.8)
    signs: list[str] = []
    listening = Listening(on_contested=signs.append)
    with MqttLink(settings, client_id="twin", listener=listening) as one, MqttLink(settings, client_id="twin") as other:
        wait_for(lambda: one.contested and other.contested, "both notice it")
        wait_for(lambda: signs, "the listener hears of it")
        wait_for(lambda: one.taken_over >= 6, "pauses have grown", timeout_s=30)
        before, began = one.generation + other.generation, time.monotonic()
        wait_for(lambda: one.generation + other.generation >= before + 6, "six more connections", timeout_s=30)
        assert time.monotonic() - began > 6 * 0.8 / 2 / 2, "each pauses 0.4 s at least, and both at the same time"


def test_a_link_that_is_cut_now_and_then_is_not_contested(mqtt_broker: Broker, wait_for: WaitFor) -> None:
    with Proxy(mqtt_broker.port) as proxy:
        settings = MqttSettings(port=proxy.port, backoff_min_s=0.05, backoff_max_s=0.2)
        with MqttLink(settings, client_id="alone") as link:
            for generation in (1, 2, 3):
                wait_for(lambda generation=generation: link.generation == generation and link.connected, "a connection")
                proxy.cut()
            wait_for(lambda: link.generation == 4 and link.connected, "the last")
            assert (link.contested, link.taken_over) == (False, 0)
