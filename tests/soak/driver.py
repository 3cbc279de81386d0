"""A soak from start to end: capacity measured, half of it sent for minutes, every worker looked at."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from services.demo import Demo, DemoOptions
from tests.soak import meter
from tests.soak.meter import Reading
from tests.soak.traffic import Traffic

_DRAIN_S = 300.0
_MANY = 10**8


@dataclass(frozen=True)
class Options:
    """`period_s`: between two looks; `warm_up_share`: of the time, after which slopes are taken.

    `capacity_samples`: sent at once, to find out how many a second are answered.
    """

    minutes: float
    period_s: float = 10.0
    warm_up_share: float = 0.2
    capacity_samples: int = 3000


def run(
    options: Options, console: Console, *, tell: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Any], dict[str, list[Reading]]]:
    """The figures, and the readings of every process.

    Figures: `capacity_hz`, `rate_hz`, `samples` sent in the soak, `finals`, `lost`, `repeated_finals`, `seconds`, and
    `processes`: first and last reading after warm-up, and growth in an hour, of each worker and server.
    """
    with Demo(DemoOptions(frames=1), console) as demo, Traffic(demo) as traffic:
        capacity_hz = _capacity_hz(traffic, options.capacity_samples)
        rate_hz = capacity_hz / 2
        tell(f"capacity {capacity_hz:,.0f} samples a second; {rate_hz:,.0f} for {options.minutes:g} minutes")
        before = traffic.finals
        begun = time.monotonic()
        with _sending(traffic, rate_hz) as sent:
            readings = _watch(demo, options, begun, tell)
        _drain(traffic)
        seconds = time.monotonic() - begun
        figures = {
            "minutes": options.minutes,
            "capacity_hz": round(capacity_hz, 1),
            "rate_hz": round(rate_hz, 1),
            "samples": sent[0],
            "finals": traffic.finals - before,
            "lost": traffic.outstanding,
            "repeated_finals": traffic.repeated,
            "seconds": round(seconds, 1),
            "processes": {name: _growth(found, options) for name, found in readings.items()},
        }
    return figures, readings


def _capacity_hz(traffic: Traffic, samples: int) -> float:
    """Finals per second when all samples come at once. A tenth of them goes ahead, to warm everything up."""
    stop = threading.Event()
    traffic.send(samples // 10, rate_hz=None, stop=stop)
    _drain(traffic)
    begun = time.monotonic()
    traffic.send(samples, rate_hz=None, stop=stop)
    _drain(traffic)
    return samples / (time.monotonic() - begun)


def _drain(traffic: Traffic) -> None:
    """Until every sample has its final label, or that takes too long."""
    deadline = time.monotonic() + _DRAIN_S
    while traffic.outstanding and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def _sending(traffic: Traffic, rate_hz: float) -> Iterator[list[int]]:
    """Samples are sent during the block; then the list holds how many."""
    stop = threading.Event()
    sent: list[int] = []
    thread = threading.Thread(
        target=lambda: sent.append(traffic.send(_MANY, rate_hz=rate_hz, stop=stop)), name="devices", daemon=True
    )
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


def _watch(demo: Demo, options: Options, begun: float, tell: Callable[[str], None]) -> dict[str, list[Reading]]:
    readings: dict[str, list[Reading]] = defaultdict(list)
    look_at = begun
    while time.monotonic() - begun < options.minutes * 60:
        demo.edge.check()
        for worker in demo.cloud:
            worker.check()
        if time.monotonic() >= look_at:
            look_at += options.period_s
            for name, pid in _pids(demo).items():
                readings[name].append(meter.read(pid, seconds=time.monotonic() - begun))
            if len(readings["edge"]) % 6 == 1:
                tell(", ".join(f"{name} {found[-1].rss_mb:.1f} MiB" for name, found in readings.items()))
        time.sleep(0.1)
    return dict(readings)


def _pids(demo: Demo) -> dict[str, int]:
    servers = {server.name: server.pid for server in (demo.servers.mqtt, demo.servers.redis)}
    workers = {worker.name: worker.pid for worker in (demo.edge, *demo.cloud)}
    return {name: pid for name, pid in (workers | servers).items() if pid is not None}


def _growth(readings: list[Reading], options: Options) -> dict[str, Any]:
    warm = [one for one in readings if one.seconds >= options.warm_up_share * options.minutes * 60]
    return {
        "first": asdict(warm[0]),
        "last": asdict(warm[-1]),
        "per_hour": meter.slopes_per_hour(warm) if len(warm) > 2 else None,
    }
