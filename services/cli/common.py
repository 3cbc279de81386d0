"""What the commands share: the app, its options, errors in one line, figures written as JSON."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console

from hybrid_model.errors import DewpointError
from services.common.exit_status import NO_START

if TYPE_CHECKING:
    from hybrid_model.energy import Radio

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="dewpoint",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True, soft_wrap=True)

Json = Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the figures to this file, as JSON.")]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="A .dew file, or the name of a shipped bundle.")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings, TOML; $DEWPOINT_CONFIG if unset.", dir_okay=False)
]
Picture = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw a picture, .svg, .png or .pdf; needs the extra `train`.")
]
RadioName = Annotated[str, typer.Option("--radio", help="What features are sent by, for energies: wifi, lte or 3g.")]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that are no bugs into one line on stderr and exit status 2."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(getattr(interrupt, "status", 130)) from None
        except (DewpointError, OSError) as error:
            fail(str(error))

    return guarded


def fail(message: str) -> NoReturn:
    """End with this line on stderr and exit status 2."""
    err.print(f"dewpoint: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(NO_START)


def must_be_writable(path: Path | None) -> None:
    """Find out before the work, not after it."""
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        fail(f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'its folder does not exist'}")


def must_be_drawable(path: Path | None) -> None:
    """Find out before the work that a picture can be drawn."""
    if path is not None:
        from services.cli.views import plots

        plots.require(path)


def radio_named(name: str) -> Radio:
    """The radio of that name; ends where there is none."""
    from hybrid_model import energy

    if name not in energy.RADIOS:
        fail(f"unknown radio {name!r}; take {', '.join(energy.RADIOS)}")
    return energy.RADIOS[name]


def tell_written(path: Path, network_id: str) -> None:
    """Name the bundle that was written."""
    out.print(f"{path}: {path.stat().st_size:,} bytes, network id {network_id}", highlight=False)


def write_json(path: Path | None, figures: dict[str, Any] | list[Any]) -> None:
    """Write the figures where a path is given."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
