"""What a chaos run stands on: its faults, its links, its poisons, and its own idea of which windows are owed."""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hybrid_model import bundle
from services.edge.ingest.decoding import payload_kind
from services.edge.window import WindowRule, WindowState, advance, restarted
from services.messages import MessageError, window_id
from services.settings import InputSettings, LimitSettings
from tests.chaos import poison
from tests.chaos.faults import WEIGHTS, Faults
from tests.chaos.proxy import Proxy
from tests.chaos.readings import CHANNELS, HOP, LENGTH, RATE_HZ, Device
from tests.conftest import WaitFor

# Faults


def test_the_same_seed_gives_the_same_faults() -> None:
    first, second = Faults(7, rate_hz=2), Faults(7, rate_hz=2)
    assert [first.draw() for _ in range(200)] == [second.draw() for _ in range(200)]


def test_faults_strike_at_the_rate_that_is_asked_for_and_in_their_proportions() -> None:
    faults = Faults(0, rate_hz=2.0)
    drawn = Counter(kind for _ in range(40_000) for kind in faults.draw())
    assert drawn.total() == pytest.approx(40_000 * 0.25 * 2.0, rel=0.05)
    assert drawn.keys() == WEIGHTS.keys()
    assert drawn["edge_killed"] / drawn["cloud_killed"] == pytest.approx(18 / 12, rel=0.15)


# Links


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1000):
            self.request.sendall(data)


@pytest.fixture
def link() -> Iterator[Proxy]:
    """A link to a server that says what it hears."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = Proxy(server.server_address[1]).start()
        yield proxy
        proxy.stop()
        server.shutdown()


def said(link: Proxy, data: bytes) -> bytes:
    """What comes back over a new connection."""
    with socket.create_connection(("127.0.0.1", link.port), timeout=20) as connection:
        connection.sendall(data)
        return connection.recv(1000)


def test_a_link_passes_what_comes(link: Proxy) -> None:
    assert said(link, b"hello") == b"hello"


def test_a_cut_link_drops_its_connections_and_takes_none_until_it_heals(link: Proxy, wait_for: WaitFor) -> None:
    with socket.create_connection(("127.0.0.1", link.port), timeout=20) as connection:
        connection.sendall(b"one")
        assert connection.recv(1000) == b"one"
        link.cut(3600.0)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1000) == b""
    assert refused(link)
    link.heal()
    wait_for(lambda: not refused(link), "the link is whole again")


def refused(link: Proxy) -> bool:
    try:
        return said(link, b"hello") != b"hello"
    except ConnectionError:
        return True


def test_a_slow_link_passes_everything_later_and_in_order(link: Proxy) -> None:
    link.delay(0.2, 3600.0)
    with socket.create_connection(("127.0.0.1", link.port), timeout=20) as connection:
        begun = time.monotonic()
        for number in range(50):
            connection.sendall(bytes([number]))
        heard = b""
        while len(heard) < 50:
            heard += connection.recv(1000)
    assert time.monotonic() - begun >= 0.4  # both ways
    assert heard == bytes(range(50))


# Poisons


def decoder(network: str, kind: str) -> Any:
    takes = InputSettings(kind=kind)
    return payload_kind(bundle.load(bundle.resolve(network)).manifest.input, takes, LimitSettings())


@pytest.mark.parametrize("kind", [one for one in poison.IMAGE_KINDS if one not in ("oversized", "id_reused")])
def test_no_edge_can_decode_a_poisoned_sample(kind: str) -> None:
    payload = poison.image(kind, random.Random(0), used_id="used")
    with pytest.raises(MessageError):
        decoder("digits", "sample").sample(payload, 1.0)


@pytest.mark.parametrize("kind", [one for one in poison.SENSOR_KINDS if one != "oversized"])
def test_no_edge_can_decode_poisoned_readings(kind: str) -> None:
    with pytest.raises(MessageError):
        decoder("har", "sensor").readings(poison.readings(kind, random.Random(0)))


def test_oversized_poisons_are_over_the_limit() -> None:
    rng = random.Random(0)
    assert len(poison.image("oversized", rng, used_id="used")) > poison.PAYLOAD_BYTES_MAX
    assert len(poison.readings("oversized", rng)) > poison.PAYLOAD_BYTES_MAX


# Windows


def test_the_windows_that_are_owed_are_those_that_an_edge_makes() -> None:
    rng = random.Random(3)
    device = Device("ward-1", np.zeros((1000, CHANNELS)), offset=17)
    takes = decoder("har", "sensor")
    rule = WindowRule(length=LENGTH, hop=HOP, period_s=1.0 / RATE_HZ)
    state, owed, made = WindowState.empty(CHANNELS), [], []
    for _ in range(400):
        chance = rng.random()
        if chance < 0.05:
            device.pause(60.0)
        elif chance < 0.10:
            device.spoil()
            state = restarted(state)
        payload, filled = device.next_message()
        owed += filled
        step = advance(state, takes.readings(payload), rule)
        state = step.state
        made += [(device.name, window_id(device.name, one.epoch, one.first_mark)) for one in step.windows]
    assert made == owed
    assert len(owed) > 100
