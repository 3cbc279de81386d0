"""What the commands share: the app, its options, errors in one line, figures written as JSON."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console

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

# A mistake of the user or of the surroundings: one line without traceback. They are named, not imported: where a
# module was never loaded, its error cannot have been raised.
_EXPECTED = {
    "hybrid_model.bundle": ("BundleError",),
    "hybrid_model.cut": ("CutError",),
    "hybrid_model.data.dataset": ("DataError",),
    "hybrid_model.evaluation": ("EvaluationError",),
    "hybrid_model.training.calibration": ("CalibrationError",),
    "hybrid_model.training.exploration.space": ("ExplorationError",),
    "hybrid_model.training.loop": ("TrainingError",),
    "hybrid_model.training.recipe": ("RecipeError",),
    "services.demo.processes": ("WorkerFailed",),
    "services.cli.explain_source": ("ExplainError",),
    "services.mqtt": ("MqttError",),
    "services.cli.views.plots": ("PictureError",),
    "services.servers": ("ServerMissing", "ServerFailed"),
    "services.settings": ("SettingsError",),
    "services.sources.errors": ("SourceError",),
    "services.traces": ("TracesFailed",),
}


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that are no bugs into one line on stderr and exit status 2."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(getattr(interrupt, "status", 130)) from None
        except Exception as error:
            if not isinstance(error, (OSError, *_expected())):
                raise
            fail(str(error))

    return guarded


def _expected() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), names) for module, names in _EXPECTED.items())
    found = (getattr(module, name, None) for module, names in loaded if module for name in names)
    return tuple(one for one in found if one is not None)


def fail(message: str) -> NoReturn:
    """End with this line on stderr and exit status 2."""
    err.print(f"dewpoint: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(2)


def must_be_writable(path: Path | None) -> None:
    """Find out before the work, not after it."""
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        fail(f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'its folder does not exist'}")


def must_be_drawable(path: Path | None) -> None:
    """Find out before the work that a picture can be drawn."""
    if path is not None:
        from services.cli.views import plots as pictures

        pictures.require(path)


def radio_named(name: str) -> Radio:
    """The radio of that name; ends where there is none."""
    from hybrid_model import energy

    if name not in energy.RADIOS:
        fail(f"unknown radio {name!r}; take {', '.join(energy.RADIOS)}")
    return energy.RADIOS[name]


def tell_written(path: Path, network_id: str) -> None:
    """Name the bundle that was written."""
    out.print(f"{path}: {path.stat().st_size:,} bytes, network id {network_id}", highlight=False)


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures where a path is given."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
