"""Every panel of every dashboard has data: a real Prometheus scrapes a real pipeline while samples stream."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from docs.queries import QUERIES
from hybrid_model import bundle as bundle_file
from hybrid_model import data
from services.demo import configuration
from services.demo.processes import WorkerProcess
from services.demo.readiness import ready
from services.feature_stream import Stream
from services.messages import input_topic
from services.mqtt import MqttLink
from services.servers import Servers, free_port
from services.settings import MqttSettings
from tests.conftest import require_server
from tests.deploy.conftest import DEPLOY
from tests.deploy.prometheus import Prometheus

START_TIMEOUT_S = 90.0
SERIES_TIMEOUT_S = 30.0
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """The panels that draw something."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def variables(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["templating"]["list"]
    return found


def targets() -> Iterator[Any]:
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield pytest.param(
                    dashboard, target["expr"], id=f"{dashboard.stem}: {panel['title']} {target['refId']}"
                )


def filled(dashboard: Path, query: str) -> str:
    """The query as Grafana sends it: every variable stands at "all", the interval covers many scrapes."""
    for variable in variables(dashboard):
        query = query.replace(f"${variable['name']}", ".*")
    return query.replace("$__rate_interval", "20s")


def until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A pipeline of one edge worker and two cloud workers, a stream of digits that goes on, and its Prometheus."""
    folder = tmp_path_factory.mktemp("pipeline")
    bundle = bundle_file.resolve("digits")
    ports = {name: free_port() for name in ("edge", "cloud-1", "cloud-2")}
    jobs = {"edge": [ports["edge"]], "cloud": [ports["cloud-1"], ports["cloud-2"]]}
    prometheus = require_server(lambda: Prometheus(folder, jobs))
    with Servers(folder=folder / "servers") as servers:
        workers = [edge_worker(folder, servers, bundle, ports["edge"])]
        workers += [cloud_worker(folder, servers, bundle, name, ports[name]) for name in ("cloud-1", "cloud-2")]
        with workers[0], workers[1], workers[2], prometheus:
            for worker in workers:
                until(partial(is_ready, worker, ports[worker.name]), f"{worker.name} ready", START_TIMEOUT_S)
            with stream(folder, servers):
                spoil(servers, bundle)
                yield prometheus


def edge_worker(folder: Path, servers: Servers, bundle: Path, port: int) -> WorkerProcess:
    digits = data.load("digits", progress=False)
    config = configuration.edge_file(folder, servers, bundle=bundle, dataset=digits, metrics_port=port)
    return WorkerProcess("edge", "services.edge", ["--config", str(config)], folder)


def cloud_worker(folder: Path, servers: Servers, bundle: Path, name: str, port: int) -> WorkerProcess:
    config = configuration.cloud_file(folder, servers, name=name, bundle=bundle, metrics_port=port, lease_s=5.0)
    return WorkerProcess(name, "services.cloud", ["--config", str(config)], folder)


def is_ready(worker: WorkerProcess, port: int) -> bool:
    worker.check()  # raises WorkerFailed, with the end of its log
    return ready(port)


def stream(folder: Path, servers: Servers) -> WorkerProcess:
    """`dewpoint stream` of 40 samples a second from several devices, one of them noisy, until it is stopped."""
    where = ["--site", configuration.SITE, "--host", servers.mqtt.host, "--port", str(servers.mqtt.port)]
    what = ["digits", "--rate", "40", "--devices", "3", "--degrade", "noise:0.6", "--endless"]
    return WorkerProcess("streamer", "services.cli", ["stream", *what, *where], folder)


def spoil(servers: Servers, bundle: Path) -> None:
    """One payload that is no sample, and one entry that is no escalation: both sides have something to drop."""
    network_id = bundle_file.load(bundle).manifest.network_id
    with redis.Redis(port=servers.redis.port) as client:
        client.xadd(Stream(network_id, 0).features, {"m": b"no escalation"})
    settings = MqttSettings(host=servers.mqtt.host, port=servers.mqtt.port)
    with MqttLink(settings, client_id="spoiler", persistent=False) as link:
        link.publish(input_topic(configuration.SITE, "scanner-1"), b"no sample", qos=1, timeout_s=5.0)
        link.flush(timeout_s=5.0)


@pytest.mark.parametrize(("dashboard", "expression"), list(targets()))
def test_a_panels_query_returns_a_series(scraped, dashboard, expression):
    query = filled(dashboard, expression)
    assert "$" not in query
    until(lambda: scraped.values(query), f"a value of {query}", SERIES_TIMEOUT_S)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_variable_has_values_to_choose_from(scraped, dashboard):
    for variable in variables(dashboard):
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", filled(dashboard, variable["definition"]))
        assert match is not None, variable["definition"]
        series, label = match.groups()
        until(partial(scraped.label_values, label, series), match[0], SERIES_TIMEOUT_S)


@pytest.mark.parametrize("metric", QUERIES)
def test_a_documented_query_is_one_that_prometheus_understands(scraped, metric):
    scraped.values(QUERIES[metric])  # raises QueryRefused where it is not


def test_every_worker_is_scraped(scraped):
    until(lambda: scraped.values("sum(up)") == [3.0], "three workers that are up", SERIES_TIMEOUT_S)


def test_what_the_edge_escalates_the_cloud_answers(scraped):
    until(lambda: scraped.values("sum(dewpoint_cloud_answered_total)"), "answers", SERIES_TIMEOUT_S)
    until(
        lambda: scraped.values('sum(dewpoint_exits_total{exit="cloud",reason="escalated"})'),
        "finals from the cloud",
        SERIES_TIMEOUT_S,
    )
