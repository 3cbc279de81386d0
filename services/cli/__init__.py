"""The command `dewpoint`: one subcommand for each thing to do. Heavy imports wait until a command needs them."""

import gc
import os
from importlib.metadata import version
from typing import Annotated

import typer

from services.cli import control, dead, explain, training, models, new, pipeline, stream, try_files  # isort: skip (the order of --help)
from services.cli.common import app, out

__all__ = ["app", "control", "explain", "main", "models", "new", "pipeline", "stream", "training", "try_files"]

app.add_typer(stream.app)
app.add_typer(dead.app)


def _tell_version(wanted: bool) -> None:
    if wanted:
        out.print(f"dewpoint {version('dewpoint')}", highlight=False)
        raise typer.Exit


@app.callback()
def common_options(
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One neural network across edge and cloud: the edge half answers what it is sure of, the rest rises."""


def main() -> None:
    """Entry point of the command."""
    # Before torch is loaded: threads that spin while they wait take the time of those that they wait for, where
    # the cores are not all theirs. A training step on two busy cores takes 0.4 s like this, and 4.7 s otherwise.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    finally:
        # An interpreter that ends looks through all objects once more: half a second, where torch is loaded.
        gc.freeze()
