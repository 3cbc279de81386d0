"""What metrics, audit and control cost an edge worker: `python -m benchmarks.overhead --json PATH`.

Two workers on one broker and one Redis, at two sites: `on` shows metrics that are scraped every second, audits 1 % of
its confident exits and keeps a budget, which is the share that rises anyhow, so that both do the same work; `off`
counts nothing, audits nothing and holds its thresholds. Each gets the same samples in turn, as fast as the broker takes
them, round after round in the order on, off, off, on; a figure is the median over the rounds' ratios. Throughput is
samples over the time from the first to the last final label; the processor time of the worker's process is told as
well, since it does not depend on who else computes meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.data import Dataset
from hybrid_model.runtime import EdgeEngine
from services.demo import configuration
from services.demo.processes import WorkerProcess, ready
from services.messages import Label, label_topic
from services.mqtt import Delivery, Filter, MqttLink, OnMessage
from services.servers import Servers, free_port
from services.settings import MqttSettings
from services.sources.catalog import devices_for, replay_for
from services.sources.sender import Sender

_START_TIMEOUT_S, _ROUND_TIMEOUT_S = 120.0, 600.0
_SCRAPE_S = 1.0
#: Samples of the one round of `--quick`.
_QUICK_SAMPLES = 200
_TICKS_HZ = os.sysconf("SC_CLK_TCK")


@dataclass
class Side:
    """One of the two workers: where it is, and what its rounds took."""

    name: str
    process: WorkerProcess
    throughput_hz: list[float] = field(default_factory=list)
    cpu_s_per_sample: list[float] = field(default_factory=list)
    escalated_share: list[float] = field(default_factory=list)

    def forget(self) -> None:
        """What was measured so far does not count."""
        for measured in (self.throughput_hz, self.cpu_s_per_sample, self.escalated_share):
            measured.clear()

    def cpu_s(self) -> float:
        """Seconds of processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_HZ


class Finals:
    """Counts final labels and notes when the last came; `wait` returns at the number that is awaited."""

    def __init__(self) -> None:
        self._count, self._last_at, self.from_cloud = 0, 0.0, 0
        self._changed = threading.Condition()
        self.link: MqttLink | None = None

    def take(self, delivery: Delivery) -> None:
        """In the link's thread."""
        label = Label.decode(delivery.payload)
        if label.status == "final":
            with self._changed:
                self._count += 1
                self.from_cloud += label.exit == "cloud"
                self._last_at = time.perf_counter()
                self._changed.notify_all()
        if self.link is not None:
            self.link.acknowledge([delivery])

    def reset(self) -> None:
        """Count from nothing."""
        with self._changed:
            self._count = self.from_cloud = 0

    def wait(self, count: int) -> float:
        """When the last of `count` came, by `time.perf_counter`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, _ROUND_TIMEOUT_S):
                raise SystemExit(f"{self._count} of {count} finals within {_ROUND_TIMEOUT_S:g} s")
            return self._last_at


def rising_share(bundle: Path, dataset: Dataset) -> float:
    """The share of the test split that rises at the bundle's own thresholds."""
    rises = EdgeEngine(bundle_file.load(bundle)).infer(dataset.test.x).exit_index < 0
    return round(float(rises.mean()), 3)


def edge_settings(name: str, folder: Path, servers: Servers, bundle: Path, port: int, share: float) -> Path:
    """The settings file of one side; `share`: of samples that may rise."""
    on = name == "on"
    budget = {"mode": "budget", "budget": "escalated_share", "value": share, "allow_uncalibrated": True}
    control = budget if on else {"mode": "fixed"}
    sections: dict[str, Any] = {
        "site": {"name": name},
        "mqtt": {"host": servers.mqtt.host, "port": servers.mqtt.port},
        "redis": {"host": servers.redis.host, "port": servers.redis.port},
        "metrics": {"host": "127.0.0.1", "port": port if on else 0},
        "edge": {
            "bundle": str(bundle),
            "worker": name,
            "spool": str(folder / f"spool-{name}"),
            "audit": {"share": 0.01 if on else 0.0},
            "control": control,
        },
    }
    return configuration.write(folder / f"{name}.toml", sections)


@contextlib.contextmanager
def scraped(port: int) -> Iterator[None]:
    """Ask for the metrics every second, as a Prometheus would."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(_SCRAPE_S):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def connected(stack: contextlib.ExitStack, servers: Servers, sites: Iterable[str]) -> tuple[MqttLink, Finals]:
    """A connection to send by, and the final labels of these sites, for as long as the stack stands."""
    settings, finals = MqttSettings(host=servers.mqtt.host, port=servers.mqtt.port), Finals()
    filters = [Filter(label_topic(site, "x").rpartition("/")[0] + "/+") for site in sites]
    finals.link = stack.enter_context(
        MqttLink(settings, client_id="labels", filters=filters, listener=OnMessage(finals.take))
    )
    return stack.enter_context(MqttLink(settings, client_id="devices")), finals


def await_ready(ports: Iterable[int], processes: Iterable[WorkerProcess]) -> None:
    """Return once the workers at these metrics ports are ready. Raises SystemExit, or WorkerError where one ends."""
    ports, processes = list(ports), list(processes)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not all(ready(port) for port in ports):
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise SystemExit("the workers were not ready in time")
        time.sleep(0.1)


def measure(side: Side, link: MqttLink, finals: Finals, dataset: Dataset, samples: int, bundle: Path) -> None:
    """One round of one side."""
    finals.reset()
    replay = replay_for(dataset, devices=devices_for(dataset, 5), frames=samples, encoding="png")
    outgoing = list(replay)
    busy, begun = side.cpu_s(), time.perf_counter()
    Sender(link, site=side.name).send(outgoing)
    last_at = finals.wait(samples)
    side.throughput_hz.append(samples / (last_at - begun))
    side.cpu_s_per_sample.append((side.cpu_s() - busy) / samples)
    side.escalated_share.append(finals.from_cloud / samples)


def run(dataset: Dataset, *, samples: int, rounds: int, broker: Any) -> dict[str, Any]:
    """All rounds; raises SystemExit where a worker does not start or labels stay away."""
    bundle = bundle_file.resolve(dataset.name)
    share = rising_share(bundle, dataset)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dewpoint-overhead-")))
        servers = stack.enter_context(Servers(broker=broker, folder=folder / "servers"))
        ports = {"on": free_port(), "cloud": free_port()}
        sides = {}
        for name, module in (("on", "services.edge"), ("off", "benchmarks.silent_edge")):
            config = edge_settings(name, folder, servers, bundle, ports["on"], share)
            process = stack.enter_context(
                WorkerProcess(name=name, module=module, arguments=["--config", str(config)], folder=folder)
            )
            sides[name] = Side(name, process)
        config = configuration.cloud_file(
            folder, servers, name="cloud", bundle=bundle, metrics_port=ports["cloud"], lease_s=30.0
        )
        cloud = stack.enter_context(
            WorkerProcess(name="cloud", module="services.cloud", arguments=["--config", str(config)], folder=folder)
        )
        link, finals = connected(stack, servers, sides)
        await_ready(ports.values(), [cloud, *(side.process for side in sides.values())])
        with scraped(ports["on"]):
            for side in sides.values():
                measure(side, link, finals, dataset, samples, bundle)  # warms up, and waits until it has subscribed
                side.forget()
            for number in range(rounds):
                for name in ("on", "off") if number % 2 == 0 else ("off", "on"):
                    measure(sides[name], link, finals, dataset, samples, bundle)
                sys.stdout.write(f"round {number + 1} of {rounds}\n")
    return figures(sides, dataset.name, samples)


def figures(sides: dict[str, Side], dataset: str, samples: int) -> dict[str, Any]:
    """Medians of the rounds' ratios, and their spread."""
    on, off = sides["on"], sides["off"]
    throughput = [a / b for a, b in zip(on.throughput_hz, off.throughput_hz, strict=True)]
    cpu = [a / b for a, b in zip(on.cpu_s_per_sample, off.cpu_s_per_sample, strict=True)]
    return {
        "dataset": dataset,
        "samples_a_round": samples,
        "rounds": len(throughput),
        "throughput_on_over_off": _spread(throughput),
        "cpu_time_on_over_off": _spread(cpu),
        "escalated_share": {side.name: round(statistics.mean(side.escalated_share), 4) for side in (on, off)},
    }


def _spread(ratios: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(ratios), 4),
        "least": round(min(ratios), 4),
        "most": round(max(ratios), 4),
    }


def command(description: str, run: Callable[..., dict[str, Any]], *, samples: int, rounds: int) -> None:
    """Measure as the command line says, print the figures and write them; `samples` and `rounds` are its defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default="digits", help="data set and shipped bundle")
    parser.add_argument("--samples", type=int, default=samples, help="samples a round")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of all sides")
    parser.add_argument("--quick", action="store_true", help="seconds: whether it works, not what it costs")
    parser.add_argument("--broker", choices=("nats", "mosquitto"), default="mosquitto")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    samples, rounds = (_QUICK_SAMPLES, 1) if chosen.quick else (chosen.samples, chosen.rounds)
    text = json.dumps(run(data.load(chosen.data), samples=samples, rounds=rounds, broker=chosen.broker), indent=1)
    sys.stdout.write(text + "\n")
    if chosen.json:
        chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    command("What metrics, audit and control cost an edge worker.", run, samples=5000, rounds=12)
