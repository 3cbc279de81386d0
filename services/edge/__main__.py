"""`python -m services.edge`: one edge worker until SIGTERM or Ctrl-C, when it finishes what is in hand and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
        str | None, typer.Option(metavar="BUNDLE", help="The network: a .dew file, or the name of a shipped one.")
    ] = None,
    worker: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this worker.")] = None,
    spool: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of its identity and journal; one worker each.")
    ] = None,
    adopt: Annotated[
        Path | None,
        typer.Option(
            metavar="SPOOL", help="Carry on for a worker that will not return: its name, session, journal and windows."
        ),
    ] = None,
    mqtt_host: Annotated[str | None, typer.Option(metavar="HOST", help="Name or address of the MQTT broker.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of the MQTT broker.")] = None,
    redis_host: Annotated[str | None, typer.Option(metavar="HOST", help="Name or address of Redis.")] = None,
    redis_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of Redis.")] = None,
    metrics_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of /metrics; 0 for none.")] = None,
) -> None:
    """Take samples in by MQTT, answer what the edge half is sure of, send the rest up, publish every label."""
    from hybrid_model.bundle import BundleError
    from services import settings
    from services.edge.errors import EdgeError
    from services.edge.process import run
    from services.metrics import MetricsError
    from services.mqtt import MqttError
    from services.traces import TracesError

    if adopt is not None and (spool is not None or worker is not None):
        typer.echo(
            "dewpoint edge: --adopt takes name and spool of the other worker; leave out --worker and --spool", err=True
        )
        raise typer.Exit(2)
    overrides = {
        "edge": {"bundle": bundle, "worker": worker, "spool": adopt or spool},
        "mqtt": {"host": mqtt_host, "port": mqtt_port},
        "redis": {"host": redis_host, "port": redis_port},
        "metrics": {"port": metrics_port},
    }
    try:
        run(settings.load(config, overrides), adopt=adopt is not None)
    except (settings.SettingsError, BundleError, EdgeError, MetricsError, MqttError, TracesError) as error:
        typer.echo(f"dewpoint edge: {error}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app(prog_name="dewpoint edge")
