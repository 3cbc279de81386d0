"""The edge worker as a process: from settings to SIGTERM."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from services.common import exit_status, logs
from services.edge.composition import compose
from services.edge.journal import Spool
from services.edge.networks import load_networks
from services.edge.worker import EdgeWorker
from services.metrics import EdgeMetrics, MetricsServer
from services.settings import Settings
from services.traces import EdgeTraces, edge_traces

__all__ = ["run"]

_WATCH_S = 0.5


def run(settings: Settings, *, adopt: bool = False) -> None:
    """Work until SIGTERM or SIGINT, then drain. Call it from the main thread.

    A batch that outlasts `edge.batch_timeout_s` ends the process with status 70, and so does another step, as a commit
    on a disk that hangs, that takes twice as long; with SIGALRM, after the traceback of all threads, where it hangs so
    that no other thread runs.

    Args:
        settings: All of them.
        adopt: Carry on for the worker to whom the spool belongs, under its name, whatever name the settings say.

    Raises:
        SettingsError: a secret or certificate cannot be read.
        BundleError: the bundle is missing or damaged.
        EdgeError: spool, journal, inputs or kernel are not as they must be.
        MetricsError: the address for metrics is taken.
        TracesError: traces are switched on, and OpenTelemetry is not installed.
        MqttError: the broker cannot be reached or refuses us.
        SystemExit: with status 1, where the worker failed later; the log says how.
    """
    logs.configure(settings.log)
    networks = load_networks(settings.edge)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    faulthandler.register(signal.SIGALRM, chain=True)
    metrics = EdgeMetrics()
    with (
        Spool(settings.edge.spool, site=settings.site.name, worker=settings.edge.worker, adopt=adopt) as spool,
        _traces(settings, spool.worker, metrics) as traces,
    ):
        edge = compose(
            settings=settings,
            networks=networks,
            spool=spool,
            metrics=metrics,
            traces=traces,
            on_hang=_exit_at_once,
            alarm=True,
        )
        metrics.identify(
            "edge",
            spool.worker,
            kernel=networks.first.engine.kernel,
            site=settings.site.name,
            bundle="+".join(networks.names.values()),
            network="+".join(networks.names),
        )
        server = MetricsServer(
            settings.metrics,
            metrics.registry,
            ready=lambda: edge.worker.impediments,
            healthy=lambda: edge.worker.healthy,
            routes={"/explain": edge.routes.explain, "/inputs": edge.routes.inputs},
        )
        with server:
            _work(edge.worker, stop)


def _work(worker: EdgeWorker, stop: threading.Event) -> None:
    """Until `stop`. Raises SystemExit where the worker failed before."""
    worker.start()
    try:
        while not stop.is_set() and not worker.wait(0):
            stop.wait(_WATCH_S)
    finally:
        worker.stop()
    if worker.wait(0):
        raise SystemExit(1)


@contextlib.contextmanager
def _traces(settings: Settings, worker: str, metrics: EdgeMetrics) -> Iterator[EdgeTraces]:
    """Traces, stopped at the end however that comes, a start that failed among them."""
    traces = edge_traces(settings.traces, site=settings.site.name, worker=worker, spans=metrics.trace_spans)
    try:
        yield traces
    finally:
        traces.stop()


def _exit_at_once() -> NoReturn:
    """End although a thread computes without end; a supervisor starts the worker again."""
    sys.stderr.flush()
    os._exit(exit_status.HANG)
