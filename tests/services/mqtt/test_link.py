"""The MQTT link against real brokers: NATS (3.1.1) and Mosquitto (5)."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.mqtt import Delivery, Filter, Message, MqttError, MqttLink, Outcome
from services.servers import Broker, NatsBroker, free_port
from services.settings import MqttSettings
from tests.conftest import WaitFor, make_broker
from tests.services.mqtt.listening import Listening
from tests.services.mqtt.proxy import Proxy

MakeLink = Callable[..., MqttLink]


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = make_broker(request.param, tmp_path)
    if isinstance(made, NatsBroker):
        made.ack_wait_s = 1  # it sends again only after this, connected or not
    with made:
        yield made


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as one:
        yield one


@pytest.fixture
def link(broker: Broker) -> Iterator[MakeLink]:
    """Started links that are stopped at the end of the test."""
    links: list[MqttLink] = []

    def make(
        client_id: str = "a", *, port: int | None = None, settings: dict[str, Any] | None = None, **more: Any
    ) -> MqttLink:
        chosen = {"port": port or broker.port, "backoff_min_s": 0.05, "backoff_max_s": 0.2, **(settings or {})}
        session = {name: more.pop(name) for name in ("filters", "dropped", "will", "persistent") if name in more}
        one = MqttLink(MqttSettings(**chosen), client_id=client_id, listener=Listening(**more), **session)
        links.append(one)
        return one.start()

    yield make
    for one in links:
        one.stop(timeout_s=1)


def payloads(deliveries: list[Delivery]) -> list[bytes]:
    return [one.payload for one in deliveries]


def test_the_newest_version_that_the_broker_speaks_is_spoken(broker: Broker, link: MakeLink) -> None:
    assert link().protocol == ("5" if broker.name == "mosquitto" else "3.1.1")


def test_the_socket_does_not_wait_for_more_to_send(link: MakeLink) -> None:
    sock: Any = link()._driver._client.socket()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_is_published_arrives_in_order(link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", filters=[Filter("a/+")], on_message=got.append)
    publisher = link("pub")
    sent = [str(i).encode() for i in range(500)]
    for payload in sent:
        assert publisher.publish("a/b", payload, timeout_s=5)
    assert publisher.flush(timeout_s=60)
    acknowledged: list[Delivery] = []

    def acknowledge_all() -> bool:
        more = got[len(acknowledged) :]
        subscriber.acknowledge(more)
        acknowledged.extend(more)
        return len(acknowledged) == len(sent)

    wait_for(acknowledge_all, "every message")
    assert payloads(got) == sent


def test_no_more_is_read_than_there_is_room_for_though_acknowledgements_are_awaited(
    link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[Delivery] = []
    seen: list[Delivery] = []
    room = [5]
    link("other", filters=[Filter("a/+", 0)], on_message=seen.append)
    held = link("held", filters=[Filter("a/+", 0)], on_message=got.append, may_read=lambda: len(got) < room[0])
    for number in range(200):
        assert held.publish("a/b", str(number).encode(), timeout_s=5)
    wait_for(lambda: len(seen) == 200, "the broker has sent all of them")
    wait_for(lambda: len(got) >= 5, "as many as there is room for")
    assert len(got) == 5
    room[0] = 1000
    held.wake()
    wait_for(lambda: len(got) == 200, "the others")


def test_a_message_without_acknowledgement_comes_again_after_a_cut(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", port=proxy.port, filters=[Filter("a/+")], on_message=got.append)
    publisher = link("pub")
    publisher.publish("a/b", b"1")
    publisher.publish("a/b", b"2")
    wait_for(lambda: len(got) == 2, "both messages")
    subscriber.acknowledge(got[:1])
    wait_for(lambda: subscriber.sent_acknowledgements == 1, "the first acknowledgement")
    publisher.publish("a/b", b"last")
    wait_for(lambda: len(got) == 3, "the third message")
    proxy.cut()
    wait_for(lambda: len(got) >= 5, "both others again")
    assert sorted(payloads(got[3:])) == [b"2", b"last"]
    assert {one.generation for one in got[3:]} == {2}


def test_an_acknowledgement_of_an_earlier_connection_is_discarded(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", port=proxy.port, filters=[Filter("a/+")], on_message=got.append)
    publisher = link("pub")
    publisher.publish("a/b", b"1")
    wait_for(lambda: len(got) == 1, "the message")
    proxy.cut()
    wait_for(lambda: len(got) == 2, "the message again")
    subscriber.acknowledge(got[:1])
    assert subscriber.discarded_acknowledgements == 1
    proxy.cut()
    wait_for(lambda: len(got) == 3, "the message a third time, for it was never acknowledged")
    subscriber.acknowledge(got[2:])
    wait_for(lambda: subscriber.sent_acknowledgements == 1, "the acknowledgement of the connection that stands")


def test_acknowledgements_that_are_discarded_in_several_threads_are_all_counted() -> None:
    link, threads = MqttLink(MqttSettings(port=free_port()), client_id="x"), 4
    earlier = Delivery("a/b", b"", 1, False, False, 1, 0.0)
    begin = threading.Barrier(threads)

    def discard() -> None:
        begin.wait()
        for _ in range(5000):
            link.acknowledge([earlier])

    switch_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        several = [threading.Thread(target=discard) for _ in range(threads)]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join()
    finally:
        sys.setswitchinterval(switch_interval_s)
    assert link.discarded_acknowledgements == threads * 5000


@pytest.mark.parametrize("broker", ["nats"], indirect=True)
def test_a_message_that_comes_again_on_the_same_connection_is_known_to_be_in_hand(
    link: MakeLink, wait_for: WaitFor
) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", filters=[Filter("a/+")], on_message=got.append)
    reads = subscriber._driver.traffic.reads
    link("pub").publish("a/b", b"1")
    wait_for(lambda: subscriber._driver.traffic.reads >= reads + 3, "the message, and again after ack_wait, twice")
    assert payloads(got) == [b"1"]
    subscriber.acknowledge(got)
    wait_for(lambda: subscriber.sent_acknowledgements == 1, "one acknowledgement")


def test_acknowledgements_go_out_in_order_of_receipt(link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", filters=[Filter("a/+")], on_message=got.append)
    publisher = link("pub")
    for payload in (b"1", b"2", b"3"):
        publisher.publish("a/b", payload)
    wait_for(lambda: len(got) == 3, "three messages")
    subscriber.acknowledge(got[1:])
    publisher.publish("a/b", b"4")
    wait_for(lambda: len(got) == 4, "a turn of the link's thread")
    assert subscriber.sent_acknowledgements == 0
    subscriber.acknowledge(got[:1])
    wait_for(lambda: subscriber.sent_acknowledgements == 3, "all three, once the first is acknowledged")


def test_publishes_outlive_a_cut_and_are_acknowledged_once(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    link("sub", filters=[Filter("a/+", 0)], on_message=got.append)
    done: list[Outcome] = []
    publisher = link("pub", port=proxy.port)
    for number in range(200):
        assert publisher.publish("a/b", str(number).encode(), timeout_s=5, on_done=done.append)
        if number % 50 == 25:
            proxy.cut()
    assert publisher.flush(timeout_s=10)
    assert done == [Outcome.ACKNOWLEDGED] * 200
    wait_for(lambda: {int(one.payload) for one in got} == set(range(200)), "every message, at least once")


def test_no_more_is_owed_than_the_bound(broker: Broker, proxy: Proxy, link: MakeLink) -> None:
    publisher = link("pub", port=proxy.port, settings={"inflight_max": 3})
    proxy.deaf = True
    assert [publisher.publish("a/b", b"x") for _ in range(5)] == [True, True, True, False, False]
    assert publisher.owed == 3


def test_a_session_holds_messages_while_its_process_is_away(link: MakeLink, wait_for: WaitFor) -> None:
    filters = [Filter("a/+")]
    link("sub", filters=filters, on_message=lambda _: None).stop()
    publisher = link("pub")
    publisher.publish("a/b", b"while away")
    assert publisher.flush(timeout_s=60)
    got: list[Delivery] = []
    present: list[bool] = []
    link("sub", filters=filters, on_message=got.append, on_open=present.append)
    wait_for(lambda: payloads(got) == [b"while away"], "the message")
    assert present == [True]


def test_what_is_retained_comes_to_an_old_session_too_where_that_is_asked_for(
    link: MakeLink, wait_for: WaitFor
) -> None:
    publisher = link("pub")
    publisher.publish("control", b"set-point", retain=True)
    assert publisher.flush(timeout_s=60)
    for _ in range(2):
        got: list[Delivery] = []
        one = link("sub", filters=[Filter("control", retained="always")], on_message=got.append)
        wait_for(lambda got=got: got, "what is retained")
        assert payloads(got) == [b"set-point"]
        one.acknowledge(got)
        one.stop()


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_a_message_waits_with_few_and_short_user_properties(link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    link("sub", filters=[Filter("in")], on_message=got.append)
    long = tuple((f"long-{number}", "x" * 60_000) for number in range(8))
    link("pub").publish("in", b"", properties=(*long, ("first", "1"), *[("more", "2")] * 100, ("last", "3")))
    wait_for(lambda: got, "the message")
    assert got[0].properties == (("first", "1"), *[("more", "2")] * 15)
    assert (got[0].user_property("first"), got[0].user_property("last")) == ("1", None)


def test_the_birth_is_made_anew_for_each_connection(proxy: Proxy, link: MakeLink, wait_for: WaitFor) -> None:
    states: list[bytes] = []
    link("watch", filters=[Filter("status/w")], on_message=lambda one: states.append(one.payload))
    births = iter([b"first", b"second"])
    link("w", port=proxy.port, birth=lambda: Message("status/w", next(births), retain=True))
    wait_for(lambda: states == [b"first"], "the birth")
    proxy.cut()
    wait_for(lambda: states == [b"first", b"second"], "another birth")


def test_filters_that_were_dropped_are_unsubscribed(link: MakeLink, wait_for: WaitFor) -> None:
    link("sub", filters=[Filter("old/+"), Filter("new/+")], on_message=lambda _: None).stop()
    got: list[Delivery] = []
    link("sub", filters=[Filter("new/+")], dropped=["old/+"], on_message=got.append)
    publisher = link("pub")
    publisher.publish("old/b", b"old")
    publisher.publish("new/b", b"new")
    wait_for(lambda: got, "a message")
    assert payloads(got) == [b"new"]


def test_the_birth_follows_the_subscription_and_the_will_follows_a_death(
    proxy: Proxy, link: MakeLink, wait_for: WaitFor
) -> None:
    states: list[bytes] = []
    link("watch", filters=[Filter("status/w")], on_message=lambda one: states.append(one.payload))
    worker = link(
        "w",
        port=proxy.port,
        filters=[Filter("in/+")],
        birth=Message("status/w", b"online", retain=True),
        will=Message("status/w", b"offline", retain=True),
    )
    wait_for(lambda: states == [b"online"], "the birth")
    proxy.open = False
    proxy.cut()
    wait_for(lambda: states == [b"online", b"offline"], "the will")
    proxy.open = True
    wait_for(lambda: states[2:] == [b"online"], "the birth again")
    worker.stop(farewell=Message("status/w", b"stopped", retain=True))
    wait_for(lambda: states[3:] == [b"stopped"], "the farewell, and no will after it")


def test_while_may_read_is_false_messages_wait_at_the_broker(link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    room = threading.Event()
    subscriber = link("sub", filters=[Filter("a/+")], on_message=got.append, may_read=room.is_set)
    publisher = link("pub")
    publisher.publish("a/b", b"1")
    assert publisher.flush(timeout_s=60)
    assert got == []
    room.set()
    subscriber.wake()
    wait_for(lambda: payloads(got) == [b"1"], "the message")


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
def test_a_connection_opens_although_nothing_else_may_be_read(link: MakeLink) -> None:
    assert link("sub", filters=[Filter("a/+")], may_read=lambda: False).connected


def test_a_broker_that_comes_back_is_connected_again(broker: Broker, link: MakeLink, wait_for: WaitFor) -> None:
    got: list[Delivery] = []
    subscriber = link("sub", filters=[Filter("a/+")], on_message=got.append)
    publisher = link("pub")
    broker.stop()
    wait_for(lambda: not subscriber.connected and not publisher.connected, "the loss")
    assert publisher.publish("a/b", b"sent while the broker was away")
    broker.start()
    wait_for(lambda: got, "the message", timeout_s=20)
    assert publisher.flush(timeout_s=60)


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
@pytest.mark.parametrize(
    ("protocol", "heard_by_nobody"), [("5", Outcome.NO_SUBSCRIBERS), ("3.1.1", Outcome.ACKNOWLEDGED)]
)
def test_what_nobody_subscribes_to_is_told_apart_where_the_broker_tells(
    link: MakeLink, wait_for: WaitFor, protocol: str, heard_by_nobody: Outcome
) -> None:
    done: list[Outcome] = []
    link("sub", filters=[Filter("heard")]).stop()
    publisher = link("pub", settings={"protocol": protocol})
    for topic in ("heard", "unheard"):
        publisher.publish(topic, b"x", on_done=done.append)
        assert publisher.flush(timeout_s=5)
    wait_for(lambda: len(done) == 2, "both acknowledgements")
    assert done == [Outcome.ACKNOWLEDGED, heard_by_nobody]
    assert publisher.owed == 0


def test_qos_0_is_done_once_it_is_written(link: MakeLink, wait_for: WaitFor) -> None:
    done: list[Outcome] = []
    publisher = link("pub")
    for _ in range(10):
        assert publisher.publish("a/b", b"x", qos=0, on_done=done.append)
    wait_for(lambda: done == [Outcome.ACKNOWLEDGED] * 10, "all written")
    assert publisher.owed == 0


def test_a_publish_to_a_filter_is_refused_at_once(link: MakeLink) -> None:
    with pytest.raises(ValueError, match="not a topic"):
        link("pub").publish("a/#", b"x")


def test_an_unreachable_broker_is_one_line() -> None:
    settings = MqttSettings(port=free_port(), backoff_min_s=0.05)
    with pytest.raises(MqttError, match=r"MQTT broker at 127\.0\.0\.1:\d+: Connection refused"):
        MqttLink(settings, client_id="x").start()


def test_a_broker_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = MqttSettings(port=silent.getsockname()[1], connect_timeout_s=0.2, backoff_min_s=0.05)
        begun = time.monotonic()
        with pytest.raises(MqttError, match="no answer"):
            MqttLink(settings, client_id="x").start(timeout_s=120)
        assert time.monotonic() - begun < 60


def test_something_that_is_no_broker_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def hang_up() -> None:
            while True:
                try:
                    other.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        settings = MqttSettings(port=other.getsockname()[1], connect_timeout_s=1, backoff_min_s=0.05)
        with pytest.raises(MqttError):
            MqttLink(settings, client_id="x").start(timeout_s=5)
        other.shutdown(socket.SHUT_RDWR)
