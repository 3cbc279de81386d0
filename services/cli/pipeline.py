"""Commands that run the pipeline: edge, cloud, console, demo, doctor."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from services.cli.common import PASS_ON, Config, Json, app, fail, must_be_writable, out, plain_errors, write_json


@app.command(context_settings=PASS_ON, add_help_option=False)
@plain_errors
def edge(context: typer.Context) -> None:
    """Run an edge worker: samples in by MQTT, labels out, hard ones up.

    Example: `dewpoint edge --config edge.toml`; `dewpoint edge --help` lists its options.
    """
    from services.edge.__main__ import app as worker

    worker(args=context.args, prog_name="dewpoint edge")


@app.command(context_settings=PASS_ON, add_help_option=False)
@plain_errors
def cloud(context: typer.Context) -> None:
    """Run a cloud worker: it answers the hard samples that wait in Redis.

    Example: `dewpoint cloud --config cloud.toml`; `dewpoint cloud --help` lists its options.
    """
    from services.cloud.__main__ import app as worker

    worker(args=context.args, prog_name="dewpoint cloud")


@app.command(context_settings=PASS_ON, add_help_option=False)
@plain_errors
def console(context: typer.Context) -> None:
    """Show a site live in the browser, and set its exits.

    Example: `dewpoint console --config edge.toml --worker http://127.0.0.1:9464`; `dewpoint console --help` lists its
    options.
    """
    from services.console.__main__ import app as page

    page(args=context.args, prog_name="dewpoint console")


@app.command()
@plain_errors
def demo(
    dataset: Annotated[
        str,
        typer.Option(
            "--data", metavar="NAME", help="digits, cifar10, cifar100 or har, or your own pictures or readings."
        ),
    ] = "digits",
    frames: Annotated[int, typer.Option(min=1, help="Samples to send; beyond the test split they come again.")] = 2000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Cloud workers.")] = 2,
    devices: Annotated[int, typer.Option(min=1, max=1000, help="Devices; the last one is degraded.")] = 5,
    degrade: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]KIND[:STRENGTH]", help="How a device is degraded: noise, blur or fog."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="A .dew file or shipped bundle; the one that was trained on the data if unset.")
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Samples per second; measured on this machine if unset.")
    ] = None,
    broker: Annotated[str, typer.Option(help="nats (embedded) or mosquitto (where it is installed).")] = "nats",
    keep: Annotated[bool, typer.Option("--keep", help="Leave all running after the summary, until Ctrl-C.")] = False,
    no_console: Annotated[bool, typer.Option("--no-console", help="Leave out the live page.")] = False,
    traces: Annotated[
        str | None, typer.Option("--traces", metavar="URL", help="Send a trace of each sample to this OTLP collector.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Show the whole pipeline on this machine: broker, Redis, workers, devices and the books of every sample.

    Example: `dewpoint demo --frames 500 --json figures.json`

    The exit status is 1 if a sample was lost.
    """
    from services.cli import own
    from services.cli.interruption import interruptible
    from services.common import logs
    from services.demo import Demo, DemoOptions
    from services.settings import LogSettings

    if broker not in ("nats", "mosquitto"):
        fail(f"unknown broker {broker!r}; take nats or mosquitto")
    must_be_writable(json_path)
    samples = None
    if own.is_own(dataset):
        samples, bundle = own.demonstrated(Path(dataset), bundle)
        dataset = samples.name
    options = DemoOptions(
        dataset=dataset, bundle=bundle, frames=frames, workers=workers, devices=devices,
        degraded=tuple(degrade) if degrade else None, rate_hz=rate_hz, broker=broker,  # type: ignore[arg-type]
        console=not no_console, traces=traces,
    )  # fmt: skip
    logs.configure(LogSettings(level="warning"))
    with interruptible(), Demo(options, out, samples) as running:
        found = running.stream()
        out.print(running.summary(found))
        write_json(json_path, found)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                out.print(f"{running.addresses()}; Ctrl-C ends all", highlight=False)
                running.wait()
    if found["lost"] or found["labels_final"] < found["samples"]:
        raise typer.Exit(1)


@app.command()
@plain_errors
def doctor(config: Config = None, json_path: Json = None) -> None:
    """Check settings, brokers, bundle, spool, clock and kernel; say what is wrong and what to do.

    Example: `dewpoint doctor --config edge.toml`

    The exit status is 2 if something is wrong.
    """
    from services.cli import doctor as checks
    from services.common import logs
    from services.settings import LogSettings

    logs.configure(LogSettings(level="error"))
    findings = checks.examine(config)
    out.print(checks.report(findings))
    write_json(json_path, {"findings": [finding.to_json() for finding in findings]})
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(2)
