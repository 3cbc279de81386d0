"""`python -m services.console`: the live page until SIGTERM or Ctrl-C."""

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
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of the page.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the token; needed where others reach the address.")
    ] = None,
    workers: Annotated[
        list[str] | None, typer.Option("--worker", metavar="URL", help="Where a worker shows its metrics; repeatable.")
    ] = None,
    site: Annotated[str | None, typer.Option(metavar="NAME", help="The site's name.")] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="The site's network: a .dew file, or a shipped one's name.")
    ] = None,
    mqtt_host: Annotated[str | None, typer.Option(metavar="HOST", help="Name or address of the MQTT broker.")] = None,
    mqtt_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of the MQTT broker.")] = None,
    redis_host: Annotated[str | None, typer.Option(metavar="HOST", help="Name or address of Redis.")] = None,
    redis_port: Annotated[int | None, typer.Option(metavar="PORT", help="TCP port of Redis.")] = None,
) -> None:
    """Show a site live: samples, exits, energy, queue, devices, workers, dead letters; and set its exits."""
    from hybrid_model.errors import DewpointError
    from services import settings
    from services.common.exit_status import NO_START

    overrides = {
        "site": {"name": site},
        "edge": {"bundle": bundle},
        "mqtt": {"host": mqtt_host, "port": mqtt_port},
        "redis": {"host": redis_host, "port": redis_port},
        "console": {"host": host, "port": port, "token_file": token_file, "workers": workers or None},
    }
    try:
        loaded = settings.load(config, overrides)
        try:
            from services.console.web import required_token

            token = required_token(loaded.console)  # before what takes its time to load
            from services.console import process
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("services", "hybrid_model"):
                raise
            typer.echo("dewpoint console: needs NiceGUI; install it: pip install 'dewpoint[console]'", err=True)
            raise typer.Exit(NO_START) from None
        process.run(loaded, token)
    except DewpointError as error:
        typer.echo(f"dewpoint console: {error}", err=True)
        raise typer.Exit(NO_START) from None


if __name__ == "__main__":
    app(prog_name="dewpoint console")
