"""`python -m services.cloud`: one cloud worker until SIGTERM or Ctrl-C, when it answers what is in hand and ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hybrid_model.bundle import BundleError
from hybrid_model.bundle.file import SHIPPED
from services import settings
from services.cloud.networks import Forward, Networks, check_device, load_cloud_half
from services.cloud.watchdog import Watchdog
from services.cloud.worker import CloudWorker
from services.common import logs
from services.feature_stream import CloudFeatures, StreamUnavailableError
from services.metrics import CloudMetrics, MetricsError, MetricsServer
from services.settings import Settings, SettingsError
from services.traces import TracesError, cloud_traces

__all__ = ["app", "run"]

HANG_STATUS = 70

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def main(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings, TOML; without it, the file of $DEWPOINT_CONFIG.")
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(metavar="BUNDLE", help="A bundle, or a folder of bundles, to serve; may be given several times."),
    ] = None,
    worker: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this worker.")] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="Where torch computes: cpu, cuda, ...")] = None,
    redis_host: Annotated[str | None, typer.Option(metavar="HOST", help="Name or address of Redis.")] = None,
    redis_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of Redis.")] = None,
    metrics_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of /metrics; 0 for none.")] = None,
) -> None:
    """Answer the hard samples that wait in Redis, for every network whose bundle is here."""
    overrides = {
        "cloud": {"bundles": bundle or None, "worker": worker, "device": device},
        "redis": {"host": redis_host, "port": redis_port},
        "metrics": {"port": metrics_port},
    }
    try:
        run(settings.load(config, overrides))
    except (SettingsError, BundleError, StreamUnavailableError, MetricsError, TracesError) as error:
        typer.echo(f"dewpoint cloud: {error}", err=True)
        raise typer.Exit(2) from None


def run(loaded: Settings, load: Callable[[Path], Forward] | None = None) -> None:
    """Work until SIGTERM or SIGINT. Call it from the main thread.

    Args:
        loaded: The settings.
        load: Path of a bundle -> its cloud half; in torch, on the device of the settings, if None.

    Raises:
        SettingsError: torch or the device of the settings is not there.
        BundleError: a named bundle is missing or damaged, or there is none.
        StreamUnavailableError: Redis does not answer at the start.
        MetricsError: the address for metrics is taken.
        TracesError: traces are switched on, and OpenTelemetry is not installed.
    """
    logs.configure(loaded.log)
    chosen = loaded.cloud
    features = CloudFeatures(
        loaded.redis,
        consumer=f"{chosen.worker or socket.gethostname()}-{uuid.uuid4().hex[:12]}",
        lease_s=chosen.lease_s,
        max_deliveries=chosen.max_deliveries,
        dead_letters_max=chosen.dead_letters_max,
        dead_letters_bytes_max=chosen.dead_letters_bytes_max,
    )
    networks = Networks(
        chosen.bundles or [SHIPPED],
        load or partial(load_cloud_half, device=chosen.device, threads=chosen.threads),
    )
    features.ping()
    if load is None:
        check_device(chosen.device)
    metrics = CloudMetrics()
    metrics.identify("cloud", features.consumer, kernel=chosen.device)
    traces = cloud_traces(loaded.traces, worker=features.consumer, spans=metrics.trace_spans)
    worker = CloudWorker(
        chosen,
        features,
        networks,
        metrics,
        on_hang=_exit_at_once,
        watchdog=Watchdog(),
        devices_max=loaded.metrics.devices_max,
        traces=traces,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    server = MetricsServer(loaded.metrics, metrics.registry, ready=lambda: worker.ready, healthy=lambda: worker.healthy)
    try:
        with server:
            worker.run()
    finally:
        traces.stop()


def _exit_at_once() -> NoReturn:
    """End although a thread computes without end; a supervisor starts the worker again.

    Where that thread lets no other run, the watchdog ends the process instead, with status 1.
    """
    sys.stderr.flush()
    os._exit(HANG_STATUS)


if __name__ == "__main__":
    app(prog_name="dewpoint cloud")
