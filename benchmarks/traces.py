"""What traces cost an edge worker, off and on: `python -m benchmarks.traces --json PATH`.

Three workers on one broker and one Redis, each at a site of its own and each with traces as its settings say: `off`, as
shipped, `percent`, which records one sample in a hundred, and `on`, which records all; their spans go to a collector
that takes and forgets them. The same samples go to one after the other, round after round in changing order; a figure
is the median over the rounds' ratios. The processor's time is that of the worker's threads.

No worker is without the calls of traces. What they cost while traces are off is timed by itself, which tells it far
better than two whole workers could: `off_calls_us_per_sample`, and `off_calls_share` of a sample's processor time.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.overhead import Side, await_ready, command, connected, measure
from hybrid_model import bundle as bundle_file
from hybrid_model.data import Dataset
from hybrid_model.runtime import EdgeResult
from services.demo import configuration
from services.demo.processes import WorkerProcess
from services.edge.observe.batch_metrics import StepTimes
from services.servers import Servers, free_port
from services.traces import EdgeTraces

#: Share of the samples that are traced, by side.
SIDES: dict[str, float] = {"off": 0.0, "percent": 0.01, "on": 1.0}
_BATCH = 32


class ThreadsSide(Side):
    """Its processor time in nanoseconds; the worker's threads live as long as it does."""

    def cpu_s(self) -> float:
        """Seconds of processor time that the threads have used."""
        told = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(one.read_text().split()[0]) for one in told) / 1e9


class Sink(BaseHTTPRequestHandler):
    """Takes what comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read it, and say so."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to tell."""


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """A collector of spans: its endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def edge_settings(name: str, folder: Path, servers: Servers, bundle: Path, port: int, endpoint: str) -> Path:
    """The settings file of one side."""
    share = SIDES[name]
    sections: dict[str, Any] = {
        "site": {"name": name},
        "mqtt": {"host": servers.mqtt.host, "port": servers.mqtt.port},
        "redis": {"host": servers.redis.host, "port": servers.redis.port},
        "metrics": {"host": "127.0.0.1", "port": port},
        "edge": {"bundle": str(bundle), "worker": name, "spool": str(folder / f"spool-{name}")},
        "traces": {"enabled": share > 0, "endpoint": endpoint, "share": share},
    }
    return configuration.write(folder / f"{name}.toml", sections)


def run(dataset: Dataset, *, samples: int, rounds: int, broker: Any) -> dict[str, Any]:
    """All rounds; raises SystemExit where a worker does not start or labels stay away."""
    bundle = bundle_file.resolve(dataset.name)
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dewpoint-traces-")))
        servers = stack.enter_context(Servers(broker=broker, folder=folder / "servers"))
        ports, sides = {}, {}
        for name in SIDES:
            ports[name] = free_port()
            config = edge_settings(name, folder, servers, bundle, ports[name], endpoint)
            process = stack.enter_context(
                WorkerProcess(name=name, module="services.edge", arguments=["--config", str(config)], folder=folder)
            )
            sides[name] = ThreadsSide(name, process)
        ports["cloud"] = free_port()
        config = configuration.cloud_file(
            folder, servers, name="cloud", bundle=bundle, metrics_port=ports["cloud"], lease_s=30.0
        )
        cloud = stack.enter_context(
            WorkerProcess(name="cloud", module="services.cloud", arguments=["--config", str(config)], folder=folder)
        )
        link, finals = connected(stack, servers, sides)
        await_ready(ports.values(), [cloud, *(side.process for side in sides.values())])
        for side in sides.values():
            measure(side, link, finals, dataset, samples, bundle)  # warms up
            side.forget()
        for number in range(rounds):
            order = list(sides)
            first = number % len(order)
            order = order[first:] + order[:first]
            for name in order if number % 2 == 0 else reversed(order):
                measure(sides[name], link, finals, dataset, samples, bundle)
            sys.stdout.write(f"round {number + 1} of {rounds}\n")
            sys.stdout.flush()
    return figures(sides, dataset.name, samples)


def figures(sides: Mapping[str, Side], dataset: str, samples: int) -> dict[str, Any]:
    """Medians of the rounds' ratios, with the middle half of them."""
    found: dict[str, Any] = {"dataset": dataset, "samples_a_round": samples}
    found["rounds"] = len(sides["off"].throughput_hz)
    off_s = off_calls_s()
    found["off_calls_us_per_sample"] = round(1e6 * off_s, 3)
    found["off_calls_share"] = round(off_s / statistics.median(sides["off"].cpu_s_per_sample), 5)
    for name, side in sides.items():
        found[f"cpu_us_per_sample_{name}"] = round(1e6 * statistics.median(side.cpu_s_per_sample), 1)
    for above, below in (("percent", "off"), ("on", "off")):
        for what in ("throughput_hz", "cpu_s_per_sample"):
            pairs = zip(getattr(sides[above], what), getattr(sides[below], what), strict=True)
            found[f"{what}_{above}_over_{below}"] = _middle([a / b for a, b in pairs])
    return found


def off_calls_s() -> float:
    """Seconds a sample: the calls that a worker makes for a batch of confident ones while traces are off."""
    traces, key, batches = EdgeTraces(), ("camera-1", "6bd2daa1-000003"), 2000
    delivery = SimpleNamespace(received_at=time.time(), user_property=lambda _: None)
    arrival = SimpleNamespace(delivery=delivery)
    samples = [SimpleNamespace(key=key, traceparent=None, arrival=arrival) for _ in range(_BATCH)]
    result = cast(EdgeResult, SimpleNamespace(exit_index=[0] * _BATCH, confidence=[0.99] * _BATCH))
    begun = time.process_time()
    for _ in range(batches):
        steps = StepTimes()
        spans = traces.batch(samples, result, steps)
        for _ in range(_BATCH):
            spans.trace_id(key)
        spans.committed()
        for _ in range(_BATCH):
            traces.of_label(key)
    return (time.process_time() - begun) / batches / _BATCH


def _middle(ratios: list[float]) -> dict[str, float]:
    ordered = sorted(ratios)
    quarters = {"lower_quarter": 0.25, "median": 0.5, "upper_quarter": 0.75}
    return {name: round(ordered[round(share * (len(ordered) - 1))], 4) for name, share in quarters.items()}


if __name__ == "__main__":
    command("What traces cost an edge worker, off and on.", run, samples=3000, rounds=12)
