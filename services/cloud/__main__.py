"""`python -m services.cloud`: one cloud worker until SIGTERM or Ctrl-C, when it answers what is in hand and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid_model.bundle import BundleError
from services import settings
from services.cloud.process import run
from services.common.exit_status import NO_START
from services.feature_stream import StreamUnavailableError
from services.metrics import MetricsError
from services.settings import SettingsError
from services.traces import TracesError

__all__ = ["app"]

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
        raise typer.Exit(NO_START) from None


if __name__ == "__main__":
    app(prog_name="dewpoint cloud")
