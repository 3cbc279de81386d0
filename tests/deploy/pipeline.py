"""A pipeline to be watched: an edge worker, two cloud workers, a stream of digits that goes on, and a Prometheus."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from services.demo import configuration
from services.demo.processes import WorkerProcess, ready
from services.feature_stream import Stream
from services.messages import input_topic
from services.mqtt import MqttLink
from services.servers import Servers, free_port
from services.settings import MqttSettings
from tests.conftest import require_server
from tests.deploy.prometheus import Prometheus

START_TIMEOUT_S = 90.0
#: Half of what leaves is audited, a budget is kept, and hard samples in quick succession do not rise: every part of the
#: pipeline has something to show.
CONTROL = {"mode": "budget", "budget": "escalated_share", "value": 0.3, "allow_uncalibrated": True}
EDGE = {"audit": {"share": 0.5}, "control": CONTROL}
INPUT = {"escalate_min_s": 0.15}


def until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)


@contextmanager
def watched_pipeline(folder: Path) -> Iterator[Prometheus]:
    """Runs while the block does."""
    bundle = bundle_file.resolve("digits")
    ports = {name: free_port() for name in ("edge", "cloud-1", "cloud-2")}
    jobs = {"edge": [ports["edge"]], "cloud": [ports["cloud-1"], ports["cloud-2"]]}
    prometheus = require_server(lambda: Prometheus(folder, jobs))
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(folder=folder / "servers"))
        workers = [_edge_worker(folder, servers, bundle, ports["edge"])]
        workers += [_cloud_worker(folder, servers, bundle, name, ports[name]) for name in ("cloud-1", "cloud-2")]
        for worker in workers:
            stack.enter_context(worker)
        stack.enter_context(prometheus)
        for worker in workers:
            until(partial(_is_ready, worker, ports[worker.name]), f"{worker.name} ready", START_TIMEOUT_S)
        workers.append(stack.enter_context(_stream(folder, servers)))
        _spoil(servers, bundle)
        yield prometheus
        for worker in workers:
            worker.ask_to_stop()  # all at once; the stack waits for each


def _edge_worker(folder: Path, servers: Servers, bundle: Path, port: int) -> WorkerProcess:
    digits = data.load("digits", progress=False)
    config = configuration.edge_file(folder, servers, bundle=bundle, dataset=digits, metrics_port=port)
    sections = tomllib.loads(config.read_text())
    inputs = [one | INPUT for one in sections["edge"]["inputs"]]
    configuration.write(config, sections | {"edge": sections["edge"] | EDGE | {"inputs": inputs}})
    return WorkerProcess(name="edge", module="services.edge", arguments=["--config", str(config)], folder=folder)


def _cloud_worker(folder: Path, servers: Servers, bundle: Path, name: str, port: int) -> WorkerProcess:
    config = configuration.cloud_file(folder, servers, name=name, bundle=bundle, metrics_port=port, lease_s=5.0)
    return WorkerProcess(name=name, module="services.cloud", arguments=["--config", str(config)], folder=folder)


def _is_ready(worker: WorkerProcess, port: int) -> bool:
    worker.check()  # raises WorkerError, with the end of its log
    return ready(port)


def _stream(folder: Path, servers: Servers) -> WorkerProcess:
    """`dewpoint stream` of 40 samples a second from several devices, one of them noisy, until it is stopped."""
    where = ["--site", configuration.SITE, "--host", servers.mqtt.host, "--port", str(servers.mqtt.port)]
    what = ["dataset", "digits", "--rate", "40", "--devices", "3", "--degrade", "noise:0.6", "--endless"]
    return WorkerProcess(name="streamer", module="services.cli", arguments=["stream", *what, *where], folder=folder)


def _spoil(servers: Servers, bundle: Path) -> None:
    """A payload that is no sample, an entry that is no escalation, a set-point that is none: all sides refuse one."""
    network_id = bundle_file.load(bundle).manifest.network_id
    with redis.Redis(port=servers.redis.port) as client:
        client.xadd(Stream(network_id, 0).features, {"m": b"no escalation"})
    settings = MqttSettings(host=servers.mqtt.host, port=servers.mqtt.port)
    with MqttLink(settings, client_id="spoiler", persistent=False) as link:
        link.publish(input_topic(configuration.SITE, "scanner-1"), b"no sample", qos=1, timeout_s=5.0)
        link.publish(f"dewpoint/{configuration.SITE}/control", b"no set-point", qos=1, timeout_s=5.0)
        link.flush(timeout_s=5.0)
