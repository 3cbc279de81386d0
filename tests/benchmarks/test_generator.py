"""The load generator against a real broker and the null limit: what it counts, and that no stall is hidden."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pipeline.rounds import Generator
from benchmarks.pipeline.stands import null_stand, started
from services.servers import Servers
from tests.benchmarks.forms import broker

_SECONDS, _STALL_S, _RATE_HZ = 1.5, 0.6, 100.0


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`measure(**load)`: one cell of the null limit; `measure.generator`: who measures."""
    folder = tmp_path_factory.mktemp("generator")
    with Servers(broker=broker(), folder=folder / "servers") as servers:
        site = {"mqtt_port": servers.mqtt.port, "site": "s", "net": "digits", "payload": "array", "qos": 1}
        with started(null_stand("5"), "s", servers, Path(folder / "null")) as running:
            generator = Generator()
            answer = generator.ask("probe", row=0, since=time.time(), every_s=0.05, timeout_s=60, **site)
            assert answer["first_label_s"] is not None

            def one(**load: Any) -> Any:
                times = {"warm_up_s": 0.2, "seconds": _SECONDS, "drain_s": 20.0}
                roles = {**running.roles, "broker": [servers.mqtt.pid]}
                return generator.ask("measure", roles=roles, redis_port=servers.redis.port, **times, **site, **load)

            one.generator = generator  # type: ignore[attr-defined]
            yield one
            generator.close()


def test_a_closed_loop_keeps_going_and_loses_nothing(measure: Any) -> None:
    found = measure(in_flight=8)
    assert found["labels"] > 8
    assert found["unanswered"] == 0
    assert found["cpu_us"]["edge"] > 0
    assert found["device_bytes"] > 300  # an array of 64 values, a label of some 300 bytes, acknowledgements
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"]


def test_an_open_loop_tells_of_all_that_a_stall_held_up(measure: Any) -> None:
    process = measure.generator._process.pid

    def stall() -> None:
        time.sleep(0.2 + (_SECONDS - _STALL_S) / 2)
        os.kill(process, signal.SIGSTOP)
        time.sleep(_STALL_S)
        os.kill(process, signal.SIGCONT)

    thread = threading.Thread(target=stall)
    thread.start()
    found = measure(rate_hz=_RATE_HZ)
    thread.join()
    assert found["unanswered"] == 0
    # Samples that were due while the generator stood still count from when they were due: more than a fifth of all.
    assert found["latency_ms"]["max"] > 0.7e3 * _STALL_S
    assert found["latency_ms"]["p99"] > 0.5e3 * _STALL_S
    assert found["labels"] > 0.7 * _RATE_HZ * _SECONDS
