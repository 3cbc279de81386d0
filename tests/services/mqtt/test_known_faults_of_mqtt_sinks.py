"""Thirteen faults that were found in another project's MQTT sink, tried on the link that all of our processes use.

The list is read from the public account of their repair, https://github.com/roboflow/inference/pull/2876, and from the
code and the tests that came with it; the numbers are ours, as in docs/explanation/reliability.md.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from services.mqtt import Delivery, Filter, Message, MqttError, MqttLink, Outcome
from services.servers import Broker, MosquittoBroker
from services.settings import MqttSettings, SettingsError, load
from tests.conftest import WaitFor, make_broker, require_server
from tests.services.mqtt.listening import Listening
from tests.services.mqtt.proxy import Proxy

MakeLink = Callable[..., MqttLink]
HOOKS = ("on_message", "on_open", "on_close", "on_contested", "birth")


class Closed(MosquittoBroker):
    """A broker that lets in whom its accounts name, and lets each write where its access list says."""

    def __init__(self, folder: Path, *, anonymous: bool, access: str = "") -> None:
        super().__init__(folder)
        self._anonymous, self._access = anonymous, access

    def _command(self) -> list[str]:
        command = super()._command()
        config = Path(command[-1])
        text = config.read_text()
        if not self._anonymous:
            text = text.replace("allow_anonymous true", "allow_anonymous false")
        if self._access:
            access = self.folder / "access.list"
            access.write_text(self._access)
            access.chmod(0o600)
            text += f"acl_file {access}\n"
        config.write_text(text)
        return command

    def _probe(self, connection: socket.socket) -> bool:
        return super()._probe(connection) if self._anonymous else True


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with make_broker("mosquitto", tmp_path) as made:
        yield made


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as one:
        yield one


@pytest.fixture
def link() -> Iterator[MakeLink]:
    """Links that are stopped at the end of the test; started unless `start=False`."""
    links: list[MqttLink] = []

    def make(client_id: str, port: int, *, start: bool = True, **more: Any) -> MqttLink:
        session = {name: more.pop(name) for name in ("filters", "persistent") if name in more}
        listening = {name: more.pop(name) for name in HOOKS if name in more}
        chosen = {"port": port, "backoff_min_s": 0.05, "backoff_max_s": 0.2, "connect_timeout_s": 2.0, **more}
        one = MqttLink(MqttSettings(**chosen), client_id=client_id, listener=Listening(**listening), **session)
        links.append(one)
        return one.start() if start else one

    yield make
    for one in links:
        one.stop(timeout_s=0)


def threads() -> list[threading.Thread]:
    """Threads of links."""
    return [one for one in threading.enumerate() if one.name == "mqtt"]


# 1. A first attempt that fails makes the client useless for ever


def test_a_first_attempt_that_fails_spoils_nothing(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    proxy.open = False
    one = link("a", proxy.port, start=False, protocol="5", backoff_min_s=4.0, backoff_max_s=4.0, connect_timeout_s=30.0)
    starting = threading.Thread(target=one.start)
    starting.start()
    wait_for(lambda: one._driver.refusal is not None, "the first attempt has failed")
    proxy.open = True
    starting.join()
    assert one.connected, "the second attempt, of the same link"


def test_a_process_that_was_turned_away_can_try_again(broker: Broker, link: MakeLink) -> None:
    broker.stop()
    before = len(threads())
    with pytest.raises(MqttError, match="Connection refused"):
        link("a", broker.port)
    assert len(threads()) == before, "the attempt has left a thread behind"
    broker.start()
    done: list[Outcome] = []
    again = link("a", broker.port)
    assert again.publish("t", b"x", on_done=done.append)
    assert again.flush(timeout_s=30)
    assert [one.taken for one in done] == [True]


# 2. Refused, or lost, and taken for connected


def test_who_is_refused_is_not_connected_and_does_not_say_so(tmp_path: Path, link: MakeLink) -> None:
    with (
        require_server(lambda: Closed(tmp_path / "closed", anonymous=False)) as closed,
        structlog.testing.capture_logs() as events,
    ):
        one = link("a", closed.port, start=False)
        with pytest.raises(MqttError, match="it wants a name"):
            one.start()
    assert not one.connected
    assert "mqtt_connected" not in [event["event"] for event in events]


def test_who_has_lost_the_connection_is_not_connected(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    one = link("a", proxy.port)
    assert one.connected
    proxy.open = False
    proxy.cut()
    wait_for(lambda: not one.connected, "the loss is known")
    proxy.open = True
    wait_for(lambda: one.connected, "and its end")


def test_a_broker_that_falls_silent_is_not_taken_for_connected(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    one = link("a", proxy.port, keepalive_s=1)
    proxy.mute = True
    wait_for(lambda: not one.connected, "nothing has come for as long as the keepalive allows")


# 3. A callback that raises takes the network thread with it


def test_a_message_on_which_the_listener_fails_comes_again(broker: Broker, link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []

    def take(delivery: Delivery) -> None:
        got.append(delivery)
        if len(got) == 1:
            raise RuntimeError("a fault of ours")

    link("sub", broker.port, filters=[Filter("t")], on_message=take)
    link("pub", broker.port).publish("t", b"x")
    wait_for(lambda: [one.payload for one in got] == [b"x", b"x"], "the message again")


@pytest.mark.parametrize("hook", ["on_close", "on_contested", "on_open", "birth"])
def test_whatever_the_listener_fails_at_the_link_comes_back(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor, hook: str
) -> None:
    failing, failed = threading.Event(), threading.Event()

    def fail(*_: object) -> Message:
        if failing.is_set() and not failed.is_set():
            failed.set()
            raise RuntimeError("a fault of ours")
        return Message("birth", b"here")

    one = link("a", proxy.port, **{hook: fail})
    failing.set()

    def cut() -> bool:
        if one.connected:
            proxy.cut()
        return failed.is_set()

    wait_for(cut, "the listener has failed")
    generation = one.generation
    wait_for(lambda: one.generation > generation and one.connected, "the link is back")


def test_a_listener_that_fails_at_all_of_it_leaves_the_link_alive(
    broker: Broker, link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[Delivery] = []

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    def take(delivery: Delivery) -> None:
        got.append(delivery)
        if len(got) < 4:
            fail()

    one = link("sub", broker.port, filters=[Filter("t")], on_message=take, on_close=fail)
    link("pub", broker.port).publish("t", b"x")
    wait_for(lambda: len(got) == 4, "the message, as often as it takes")
    one.acknowledge(got[3:])
    wait_for(lambda: one.sent_acknowledgements == 1, "it is acknowledged")


@pytest.mark.parametrize("qos", [0, 1])
def test_whom_it_may_concern_fails_and_the_link_goes_on(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor, qos: int
) -> None:
    one = link("a", proxy.port)

    def fail(outcome: Outcome) -> None:
        raise RuntimeError("a fault of ours")

    for _ in range(3):
        assert one.publish("t", b"x", qos=qos, on_done=fail, timeout_s=5)
        proxy.cut()
    wait_for(lambda: one.owed == 0, "nothing is owed")
    done: list[Outcome] = []
    wait_for(lambda: one.publish("t", b"x", on_done=done.append), "room")
    wait_for(lambda: done, "a later publish")


# 4. Two that connect anew, and get in each other's way


def test_there_is_one_connection_at_a_time_however_often_it_is_lost(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor
) -> None:
    most: list[int] = [0]
    one = link("a", proxy.port)
    for generation in range(1, 9):
        wait_for(lambda wanted=generation: one.generation == wanted and one.connected, "a connection")
        most[0] = max(most[0], len(proxy.established()))
        proxy.cut()
    wait_for(lambda: one.generation == 9 and one.connected, "the last")
    assert (most[0], proxy.accepted) == (1, 9)


# 5. Another host, or other credentials, and the first broker gets the messages


def test_a_link_belongs_to_its_broker_and_another_broker_has_its_own(
    broker: Broker, tmp_path: Path, link: MakeLink, wait_for: WaitFor
) -> None:
    got: dict[str, list[bytes]] = {"one": [], "other": []}
    with make_broker("mosquitto", tmp_path / "second") as second:
        for name, where in (("one", broker), ("other", second)):
            hear = partial(lambda to, one: to.append(one.payload), got[name])
            link(f"sub-{name}", where.port, filters=[Filter("t", 0)], on_message=hear)
        settings = MqttSettings(port=broker.port)
        with MqttLink(settings, client_id="a") as first:
            with pytest.raises(ValidationError):
                settings.port = second.port
            with MqttLink(settings.model_copy(update={"port": second.port}), client_id="a") as other:
                assert first.publish("t", b"for one")
                assert other.publish("t", b"for the other")
                wait_for(lambda: all(got.values()), "both messages")
        assert got == {"one": [b"for one"], "other": [b"for the other"]}


# 6 and 7. A name without a password, a password without a name


def test_a_name_without_a_password_is_told_to_the_broker(tmp_path: Path, link: MakeLink, wait_for: WaitFor) -> None:
    access = "topic read t\n\nuser camera\ntopic readwrite t\n"
    with require_server(lambda: Closed(tmp_path / "named", anonymous=True, access=access)) as named:
        outcomes: dict[str | None, Outcome] = {}
        for name in (None, "camera"):
            one = link(f"as-{name}", named.port, username=name)
            one.publish("t", b"x", on_done=lambda outcome, who=name: outcomes.update({who: outcome}))
        wait_for(lambda: len(outcomes) == 2, "both answers")
    assert outcomes[None] is Outcome.REFUSED
    assert outcomes["camera"].taken


def test_a_password_without_a_name_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    with pytest.raises(SettingsError, match=r"mqtt: password_file needs username") as caught:
        load(overrides={"mqtt": {"password_file": secret}})
    assert "hunter2" not in str(caught.value)


# 8 and 9. What is not known is told as a failure


def test_an_acknowledgement_that_does_not_come_is_no_failure_and_the_message_is_sent_until_it_does(
    proxy: Proxy, broker: Broker, link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[bytes] = []
    link("sub", broker.port, filters=[Filter("t", 0)], on_message=lambda one: got.append(one.payload))
    done: list[Outcome] = []
    one = link("pub", proxy.port)
    proxy.mute = True
    assert one.publish("t", b"x", on_done=done.append)
    wait_for(lambda: got == [b"x"], "the broker has it")
    assert not one.flush(timeout_s=0.3)
    assert (done, one.owed) == ([], 1), "nobody knows, and nobody is told that it failed"
    proxy.mute = False
    proxy.cut()
    wait_for(lambda: done, "it is sent again, and acknowledged")
    assert [each.taken for each in done] == [True]
    assert set(got) == {b"x"}


def test_what_is_published_while_the_connection_is_away_is_sent_later_and_told_once(
    proxy: Proxy, broker: Broker, link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[bytes] = []
    link("sub", broker.port, filters=[Filter("t", 0)], on_message=lambda one: got.append(one.payload))
    done: list[Outcome] = []
    one = link("pub", proxy.port, inflight_max=2)
    proxy.open = False
    proxy.cut()
    wait_for(lambda: not one.connected, "the loss")
    assert [one.publish("t", payload, on_done=done.append) for payload in (b"1", b"2", b"3")] == [True, True, False]
    assert done == [], "what waits has not failed, and of what there was no room for nothing is queued"
    proxy.open = True
    wait_for(lambda: len(done) == 2, "both", 20)
    wait_for(lambda: got == [b"1", b"2"], "those that were queued, and no other")
    assert all(each.taken for each in done)


def test_of_qos_0_it_is_told_once_that_it_was_written(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    done: list[Outcome] = []
    one = link("pub", proxy.port)
    proxy.open = False
    proxy.cut()
    wait_for(lambda: not one.connected, "the loss")
    assert one.publish("t", b"x", qos=0, on_done=done.append)
    proxy.open = True
    wait_for(lambda: done, "it is written at the next connection")
    assert (done, one.owed) == ([Outcome.ACKNOWLEDGED], 0)


# 10, 11 and 12. Times and ports that hang, spin or end the thread


@pytest.mark.parametrize("name", ["connect_timeout_s", "backoff_min_s", "backoff_max_s", "flush_timeout_s"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e308, 0.0, -1.0], ids=str)
def test_a_time_that_no_clock_can_wait_for_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"mqtt\.{name}"):
        load(overrides={"mqtt": {name: value}})


@pytest.mark.parametrize("text", ["inf", "nan", "1e400", "-0.0"])
def test_the_environment_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DEWPOINT_MQTT__BACKOFF_MAX_S", text)
    with pytest.raises(SettingsError, match=r"mqtt\.backoff_max_s"):
        load()


def test_no_settings_make_the_link_try_without_a_pause(broker: Broker, link: MakeLink, wait_for: WaitFor) -> None:
    with pytest.raises(ValidationError):
        MqttSettings(backoff_max_s=1e-6)
    one = link("a", broker.port, backoff_min_s=0.01, backoff_max_s=0.01)
    broker.stop()
    wait_for(lambda: not one.connected, "the loss")
    before, began = one._driver._attempts, time.monotonic()
    wait_for(lambda: one._driver._attempts >= before + 20, "twenty attempts")
    assert time.monotonic() - began > 18 * 0.01 / 2, "each after half of the pause at least"


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(SettingsError, match=r"mqtt\.port"):
        load(overrides={"mqtt": {"port": port}})


# 13. An end that comes twice, too early, or from two sides


def test_a_link_may_be_stopped_twice_and_by_several_and_leaves_no_thread(broker: Broker, link: MakeLink) -> None:
    before = len(threads())
    link("never started", broker.port, start=False).stop()
    one = link("a", broker.port)
    stopping = [threading.Thread(target=one.stop) for _ in range(4)]
    for each in stopping:
        each.start()
    for each in stopping:
        each.join(30)
        assert not each.is_alive()
    one.stop()
    assert not one.connected
    assert len(threads()) == before


def test_a_stopped_link_takes_nothing_that_it_would_never_send(broker: Broker, link: MakeLink) -> None:
    one = link("a", broker.port)
    one.stop()
    assert not one.publish("t", b"x"), "it would wait for ever"
