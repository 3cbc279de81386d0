"""The command `dewpoint`: one subcommand for each thing to do. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
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
    help="One neural network across edge and cloud: the edge half answers what it is sure of, the rest rises.",
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
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

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
    "services.mqtt": ("MqttError",),
    "services.pictures": ("PictureError",),
    "services.servers": ("ServerMissing", "ServerFailed"),
    "services.settings": ("SettingsError",),
    "services.sources.errors": ("SourceError",),
}


def main() -> None:
    """Entry point of the command."""
    app()


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
            _fail(str(error))

    return guarded


@app.command()
@plain_errors
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a TOML file.")],
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="The bundle to write, NAME.dew.")],
    checkpoints: Annotated[
        Path, typer.Option(help="Where the run keeps its state; the same command resumes it.")
    ] = Path("checkpoints"),
    device: Annotated[str | None, typer.Option(help="cuda or cpu; without it, a GPU where there is one.")] = None,
    twin: Annotated[
        bool, typer.Option(help="Train the full-precision twin too: the baseline that `evaluate` compares with.")
    ] = True,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.")] = None,
    json_path: Json = None,
) -> None:
    """Train a network by a recipe, and its full-precision twin, and write the bundle.

    Example: `dewpoint train digits --out digits.dew`
    """
    from hybrid_model import data
    from hybrid_model.training import load_recipe
    from hybrid_model.training import train as run_training
    from hybrid_model.training.export import export_bundle

    plan = load_recipe(recipe)
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    _must_be_writable(to)
    _must_be_writable(json_path)
    dataset = data.load(plan.dataset)
    run = run_training(plan, dataset, folder=checkpoints, device=device, baseline=twin)
    network_id = export_bundle(run, dataset, to)
    _tell_written(to, network_id)
    figures = {
        "bundle": str(to),
        "network_id": network_id,
        "recipe": plan.name,
        "precision": run.precision,
        "seconds": run.seconds,
        "history": run.history,
    }
    _write(json_path, figures)


@app.command()
@plain_errors
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint file, NAME-sSEED.pt.")],
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="The bundle to write, NAME.dew.")],
    recipe: Annotated[
        str | None, typer.Option(help="Recipe of the run; without it, the one that the checkpoint is named after.")
    ] = None,
) -> None:
    """Write the bundle of a checkpoint, finished or not.

    Example: `dewpoint export checkpoints/digits-s0.pt --out digits.dew`
    """
    from hybrid_model import data
    from hybrid_model.training import load_recipe
    from hybrid_model.training.export import export_bundle
    from services.checkpoints import stored_run

    named = recipe or checkpoint.stem.rpartition("-s")[0]
    if not checkpoint.is_file():
        _fail(f"{checkpoint}: no such checkpoint; `dewpoint train` writes one")
    if not named:
        _fail(f"{checkpoint}: not named NAME-sSEED.pt, so its recipe is unknown; give --recipe")
    plan = load_recipe(named)
    _must_be_writable(to)
    run = stored_run(plan, checkpoint)
    _tell_written(to, export_bundle(run, data.load(plan.dataset), to))


@app.command()
@plain_errors
def calibrate(
    bundle: Bundle,
    dataset: Annotated[str, typer.Option("--data", metavar="NAME", help="digits, cifar10, cifar100 or har.")],
    edge_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Choose the point at which this share leaves on the edge.")
    ] = None,
    accuracy_budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="POINTS",
            help="Choose the loosest point that loses at most this many percentage points to the cloud half.",
        ),
    ] = None,
    guarantee: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="ALPHA",
            help="Choose the loosest point whose error rate is tested to be at most this.",
        ),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability with which the test may be wrong.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write the bundle; BUNDLE itself replaces it.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Find a bundle's temperatures and thresholds anew, test them, and show the path they were chosen from.

    Example: `dewpoint calibrate digits --data digits --guarantee 0.02 --out digits.dew`

    Without one of --edge-share, --accuracy-budget and --guarantee the working point is chosen as it was before.
    Without --out nothing is written. The network id stays: a running edge takes the new file on its next start.
    """
    from rich.progress import Progress

    from hybrid_model import bundle as bundle_file
    from hybrid_model import data
    from hybrid_model.training import calibration
    from services import calibration_view

    ways = {"edge_share": edge_share, "accuracy_budget": accuracy_budget, "guarantee": guarantee}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        _fail(f"--{given[0].replace('_', '-')} and --{given[1].replace('_', '-')} exclude each other; give one")
    _must_be_writable(to)
    _must_be_writable(json_path)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    changes: dict[str, Any] = {"by": given[0]} if given else {}
    changes |= {} if edge_share is None else {"edge_share": edge_share}
    changes |= {} if accuracy_budget is None else {"accuracy_budget": accuracy_budget / 100.0}
    changes |= {} if guarantee is None else {"alpha": guarantee}
    changes |= {} if delta is None else {"delta": delta}
    wish = calibration.operating_point(calibration.wish_of(loaded.manifest), **changes)
    samples = data.load(dataset)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"calibrating {loaded.manifest.name}", total=calibration.samples_to_run(samples))
        found = calibration.calibrate(loaded, samples, wish, advance=lambda count: bar.advance(task, count))
    out.print(calibration_view.view(found.manifest))
    _write(json_path, calibration_view.figures(found.manifest))
    if to is None:
        out.print("Nothing was written; --out FILE keeps it.")
    else:
        _tell_written(to, bundle_file.save(to, found.manifest, found.edge, found.cloud))


@app.command()
@plain_errors
def explore(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Name of a shipped space, or a TOML file.")],
    folder: Annotated[
        Path | None, typer.Option(help="Checkpoints and bundles of the trials; checkpoints/explore-SPACE if unset.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Database of the study, to share it; a SQLite file if unset.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials to complete in this call, at most.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so long.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; without it, a GPU where there is one.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Train nothing; show what the study holds.")] = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves and the front: SVG, PNG or PDF.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Try variants of a recipe on real data and show which of them nothing else beats.

    Example: `dewpoint explore digits --trials 4 --picture digits.svg`

    The same command continues a study that was stopped; another process on the same storage shares its work.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        _fail("`explore` needs Optuna; install it: pip install 'dewpoint[explore]'")
    from hybrid_model.training.exploration import Exploration, load_space
    from hybrid_model.training.exploration import report as reports
    from services.interruption import interruptible

    _must_be_writable(picture)
    _must_be_writable(json_path)
    plan = load_space(space)
    folder = folder or Path(f"checkpoints/explore-{plan.name}")
    study = Exploration(plan, folder=folder, storage=storage, create=not report)
    if not report:
        with interruptible():
            study.run(
                trials=trials,
                seconds=seconds,
                device=device,
                tell=lambda line: err.print(line, markup=False, highlight=False),
            )
    out.print(reports.tables(study))
    if picture is not None:
        reports.draw(study, picture)
    _write(json_path, reports.figures(study))


@app.command()
@plain_errors
def evaluate(
    bundle: Bundle,
    dataset: Annotated[str, typer.Option("--data", metavar="NAME", help="digits, cifar10, cifar100 or har.")],
    curve_path: Annotated[
        Path | None,
        typer.Option(
            "--curve", metavar="PATH", help="Write figures of the whole calibrated path to this file, as JSON."
        ),
    ] = None,
    picture: Picture = None,
    radio: RadioName = "wifi",
    json_path: Json = None,
) -> None:
    """Run both halves over a whole test split, without brokers.

    Example: `dewpoint evaluate digits --data digits --json figures.json --picture curve.svg`

    --curve and --picture show accuracy against edge share along the bundle's calibrated path, from the same pass.
    """  # fmt: skip
    from rich.progress import Progress

    from hybrid_model import bundle as bundle_file
    from hybrid_model import data, evaluation
    from services import evaluation_view

    for path in (json_path, curve_path, picture):
        _must_be_writable(path)
    link, wants_curve = _radio(radio), curve_path is not None or picture is not None
    _must_be_drawable(picture)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    if wants_curve:
        evaluation.require_path(loaded.manifest, dataset)
    samples = data.load(dataset)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"evaluating {loaded.manifest.name}", total=len(samples.test))
        said = evaluation.answers_on(
            loaded, samples, with_scores=wants_curve, advance=lambda count: bar.advance(task, count)
        )
    found = evaluation.evaluate(loaded, samples, said=said, radio=link)
    out.print(evaluation_view.evaluation_table(found))
    _write(json_path, found.to_json())
    if wants_curve:
        drawn = evaluation.curve(loaded, samples, said, radio=link)
        _write(curve_path, drawn.to_json())
        if picture is not None:
            from services import pictures

            pictures.draw_curve(drawn, picture)


@app.command()
@plain_errors
def inspect(bundle: Bundle, picture: Picture = None, radio: RadioName = "wifi", json_path: Json = None) -> None:
    """Show a bundle: its layers with bits, bytes, operations and energy, its exits, its cut and its calibrated path.

    Example: `dewpoint inspect digits --picture energy.svg`
    """
    from hybrid_model import bundle as bundle_file
    from services import inspection

    _must_be_writable(json_path)
    _must_be_writable(picture)
    link = _radio(radio)
    _must_be_drawable(picture)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    out.print(inspection.tables(loaded, link))
    _write(json_path, inspection.figures(loaded, link))
    if picture is not None:
        from services import pictures

        pictures.draw_energy(loaded.manifest, picture, link)


@app.command(context_settings=_PASS_ON, add_help_option=False)
@plain_errors
def edge(context: typer.Context) -> None:
    """Run an edge worker: samples in by MQTT, labels out, hard ones up.

    Example: `dewpoint edge --config edge.toml`; `dewpoint edge --help` lists its options.
    """
    from services.edge.__main__ import app as worker

    worker(args=context.args, prog_name="dewpoint edge")


@app.command(context_settings=_PASS_ON, add_help_option=False)
@plain_errors
def cloud(context: typer.Context) -> None:
    """Run a cloud worker: it answers the hard samples that wait in Redis.

    Example: `dewpoint cloud --config cloud.toml`; `dewpoint cloud --help` lists its options.
    """
    from services.cloud.__main__ import app as worker

    worker(args=context.args, prog_name="dewpoint cloud")


@app.command()
@plain_errors
def stream(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="digits, cifar10, cifar100 or har.")],
    frames: Annotated[int | None, typer.Option(min=1, help="Samples to send; the whole split if unset.")] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Samples per second over all devices; unlimited if unset.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, max=1000, help="Devices that take turns.")] = 3,
    degrade: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]KIND[:STRENGTH]", help="Spoil a device (the last one): noise, blur or fog."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, tuning, calibration or test.")] = "test",
    encoding: Annotated[str, typer.Option(help="Pictures travel as png, jpeg, webp or array.")] = "png",
    rows: Annotated[int, typer.Option(min=1, help="Sensor readings in one message.")] = 32,
    raw: Annotated[
        bool, typer.Option("--raw", help="Without envelope, id, seq and time, as foreign devices send.")
    ] = False,
    endless: Annotated[bool, typer.Option("--endless", help="Begin again at the end, until stopped.")] = False,
    in_flight: Annotated[int, typer.Option(min=1, max=65535, help="Messages that may await acknowledgement.")] = 64,
    config: Config = None,
    site: Annotated[str | None, typer.Option(help="The site's name.")] = None,
    host: Annotated[str | None, typer.Option(help="The MQTT broker's name or address.")] = None,
    port: Annotated[int | None, typer.Option(help="The MQTT broker's TCP port.")] = None,
    json_path: Json = None,
) -> None:
    """Send real samples to the MQTT broker, as several devices would, on dewpoint/SITE/in/DEVICE.

    Example: `dewpoint stream digits --rate 20 --devices 3 --degrade noise:0.4`
    """
    from services import logs, settings
    from services.interruption import interruptible
    from services.sources.stream import StreamOptions, run_stream

    _must_be_writable(json_path)
    mqtt = {"host": host, "port": port, "inflight_max": in_flight}
    loaded = settings.load(config, {"site": {"name": site}, "mqtt": mqtt})
    options = StreamOptions(
        dataset=dataset, frames=frames, rate_hz=rate_hz, devices=devices, degraded=tuple(degrade or ()), split=split,
        encoding=encoding, rows_per_message=rows, raw=raw, endless=endless,
    )  # fmt: skip
    logs.configure(loaded.log.model_copy(update={"level": "warning"}))
    with interruptible():
        sent = run_stream(options, loaded, console=err)
    out.print_json(data=sent)
    _write(json_path, sent)
    if sent["samples_acknowledged"] < sent["samples"]:
        _fail(f"the broker acknowledged {sent['samples_acknowledged']} of {sent['samples']} samples")


@app.command()
@plain_errors
def demo(
    dataset: Annotated[str, typer.Option("--data", metavar="NAME", help="digits, cifar10 or har.")] = "digits",
    frames: Annotated[int, typer.Option(min=1, help="Samples to send; beyond the test split they come again.")] = 2000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Cloud workers.")] = 2,
    devices: Annotated[int, typer.Option(min=1, max=1000, help="Devices; the last one is degraded.")] = 5,
    degrade: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]KIND[:STRENGTH]", help="How a device is degraded: noise, blur or fog."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(help="A .dew file or shipped bundle; the data set's own if unset.")
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Samples per second; measured on this machine if unset.")
    ] = None,
    broker: Annotated[str, typer.Option(help="nats (embedded) or mosquitto (where it is installed).")] = "nats",
    keep: Annotated[bool, typer.Option("--keep", help="Leave all running after the summary, until Ctrl-C.")] = False,
    no_console: Annotated[
        bool, typer.Option("--no-console", help="Accepted; there is no web console to leave out yet.")
    ] = False,
    json_path: Json = None,
) -> None:
    """Show the whole pipeline on this machine: broker, Redis, workers, devices and the books of every sample.

    Example: `dewpoint demo --frames 500 --json figures.json`

    The exit status is 1 if a sample was lost.
    """
    from services import logs
    from services.demo import Demo, DemoOptions
    from services.interruption import interruptible
    from services.settings import LogSettings

    if broker not in ("nats", "mosquitto"):
        _fail(f"unknown broker {broker!r}; take nats or mosquitto")
    _must_be_writable(json_path)
    options = DemoOptions(
        dataset=dataset, bundle=bundle, frames=frames, workers=workers, devices=devices,
        degraded=tuple(degrade) if degrade else None, rate_hz=rate_hz, broker=broker,  # type: ignore[arg-type]
    )  # fmt: skip
    logs.configure(LogSettings(level="warning"))
    with interruptible(), Demo(options, out) as running:
        found = running.stream()
        out.print(running.summary(found))
        _write(json_path, found)
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
    from services import doctor as checks
    from services import logs
    from services.settings import LogSettings

    logs.configure(LogSettings(level="error"))
    findings = checks.examine(config)
    out.print(checks.report(findings))
    _write(json_path, {"findings": [finding.to_json() for finding in findings]})
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(2)


def _expected() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), names) for module, names in _EXPECTED.items())
    found = (getattr(module, name, None) for module, names in loaded if module for name in names)
    return tuple(one for one in found if one is not None)


def _fail(message: str) -> NoReturn:
    err.print(f"dewpoint: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(2)


def _must_be_writable(path: Path | None) -> None:
    """Find out before the work, not after it."""
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        _fail(f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'its folder does not exist'}")


def _must_be_drawable(path: Path | None) -> None:
    if path is not None:
        from services import pictures

        pictures.require(path)


def _radio(name: str) -> Radio:
    from hybrid_model import energy

    if name not in energy.RADIOS:
        _fail(f"unknown radio {name!r}; take {', '.join(energy.RADIOS)}")
    return energy.RADIOS[name]


def _tell_written(path: Path, network_id: str) -> None:
    out.print(f"{path}: {path.stat().st_size:,} bytes, network id {network_id}", highlight=False)


def _write(path: Path | None, figures: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
