"""Commands about networks: train, export, calibrate, explore, evaluate, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import own_readings, teaching
from services.cli.common import (
    Bundle,
    Json,
    Picture,
    RadioName,
    app,
    err,
    fail,
    must_be_drawable,
    must_be_writable,
    out,
    plain_errors,
    radio_named,
    tell_written,
    write_json,
)


@app.command()
@plain_errors
def train(
    to: Annotated[Path, typer.Option("--out", metavar="FILE", help="The bundle to write, NAME.dew.")],
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Name of a shipped recipe, or a TOML file.")
    ] = None,
    own_data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="In place of a recipe: pictures (a folder per class, a CSV path,label), or readings (CSV, Parquet).",
        ),
    ] = None,
    checkpoints: Annotated[
        Path, typer.Option(help="Where the run keeps its state; the same command resumes it.")
    ] = Path("checkpoints"),
    device: Annotated[str | None, typer.Option(help="cuda or cpu; without it, a GPU where there is one.")] = None,
    twin: Annotated[
        bool | None,
        typer.Option(
            "--twin/--no-twin",
            help="Train the full-precision twin too, the baseline that `evaluate` compares with; with a recipe it is.",
        ),
    ] = None,
    taught_twin: Annotated[
        bool, typer.Option("--taught-twin", help="Train a twin that learns from the recipe's teacher, too.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="M", help="Be ready after so many minutes, teacher and twins included; 10 with --data."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.")] = None,
    size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Pictures: the input's side, 32 to 224.")] = None,
    width: Annotated[int | None, typer.Option(help="Pictures: channels of the first edge units.")] = None,
    edge_bits: Annotated[int | None, typer.Option(help="With --data: bits of the edge, 1, 2, 4 or 8.")] = None,
    edge_budget: Annotated[
        str | None,
        typer.Option(metavar="COST", help="Pictures: what the edge may cost a sample, such as 50uJ or 2ms."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="Pictures: a bundle to start from, or none.")
    ] = None,
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Pictures: mirror pictures at random, or never.")
    ] = None,
    teacher: teaching.TeacherFile = None,
    teacher_layout: teaching.TeacherLayout = None,
    teacher_mean: teaching.TeacherMean = None,
    teacher_deviation: teaching.TeacherDeviation = None,
    teacher_classes: teaching.TeacherClasses = None,
    unlabelled: teaching.UnlabelledFolder = None,
    device_column: own_readings.DeviceColumn = None,
    time_column: own_readings.TimeColumn = None,
    time_unit: own_readings.TimeUnit = None,
    label_column: own_readings.LabelColumn = None,
    channels: own_readings.Channels = None,
    window_s: own_readings.WindowS = None,
    hop_s: own_readings.HopS = None,
    rate_hz: own_readings.RateHz = None,
    split: own_readings.SplitBy = None,
    triples: own_readings.Triples = None,
    edge_kb: own_readings.EdgeKb = None,
    json_path: Json = None,
) -> None:
    """Train a network by a recipe, or on your own pictures or readings, and write the bundle.

    Examples: `dewpoint train digits --out digits.dew`, `dewpoint train --data pictures --out pictures.dew`,
    `dewpoint train --data readings.csv --out readings.dew`

    With --data whatever is not given is chosen, and told with its reason. With --minutes the learning rate falls to
    zero in that time, however fast the machine is.
    """
    from services.cli import own
    from services.cli.training_options import TrainingOptions

    of_pictures = {
        "size": size, "width": width, "edge_bits": edge_bits, "edge_budget": edge_budget, "start": start,
        "mirror": mirror, "teacher": teacher, "teacher_layout": teacher_layout, "teacher_mean": teacher_mean,
        "teacher_deviation": teacher_deviation, "teacher_classes": teacher_classes, "unlabelled": unlabelled,
    }  # fmt: skip
    of_readings = {
        "device_column": device_column, "time_column": time_column, "time_unit": time_unit,
        "label_column": label_column, "channels": channels, "window_s": window_s, "hop_s": hop_s, "rate_hz": rate_hz,
        "split": split, "triples": triples, "edge_kb": edge_kb,
    }  # fmt: skip
    if (recipe is None) == (own_data is None):
        fail("give either a RECIPE or --data: a recipe names its data, and for yours a recipe is made")
    must_be_writable(to)
    must_be_writable(json_path)
    if own_data is not None:
        if taught_twin:
            fail("--taught-twin belongs to recipes that have a teacher; leave it out with --data")
        options = TrainingOptions(
            checkpoints=checkpoints, device=device, twin=bool(twin), minutes=minutes, seed=seed, json_path=json_path
        )
        own.train(own_data, to, options, of_pictures=of_pictures, of_readings=of_readings)
        return
    assert recipe is not None
    given = own.first_given({**of_pictures, **of_readings})
    if given is not None:
        fail(f"{given} belongs to --data: a recipe says it itself")

    from hybrid_model import data
    from hybrid_model.export import export_bundle
    from hybrid_model.training import Baseline, load_recipe, within_minutes
    from hybrid_model.training import train as run_training

    plan = load_recipe(recipe)
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    chosen: dict[Baseline, bool] = {"twin": twin is not False, "taught_twin": taught_twin}
    baselines = [name for name, wanted in chosen.items() if wanted]
    if minutes is not None:
        plan = within_minutes(plan, minutes, baselines)
    plan.build()
    dataset = data.load(plan.dataset)
    run = run_training(plan, dataset, folder=checkpoints, device=device, baselines=baselines)
    network_id = export_bundle(run, dataset, to)
    tell_written(to, network_id)
    figures = {
        "bundle": str(to),
        "network_id": network_id,
        "recipe": plan.name,
        "precision": run.precision,
        "seconds": run.seconds,
        "history": run.history,
    }
    write_json(json_path, figures)


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
    from hybrid_model.export import export_bundle
    from hybrid_model.training import load_recipe, stored_run

    named = recipe or checkpoint.stem.rpartition("-s")[0]
    if not checkpoint.is_file():
        fail(f"{checkpoint}: no such checkpoint; `dewpoint train` writes one")
    if not named:
        fail(f"{checkpoint}: not named NAME-sSEED.pt, so its recipe is unknown; give --recipe")
    plan = load_recipe(named)
    must_be_writable(to)
    run = stored_run(plan, checkpoint)
    tell_written(to, export_bundle(run, data.load(plan.dataset), to))


@app.command()
@plain_errors
def calibrate(
    bundle: Bundle,
    dataset: Annotated[
        str, typer.Option("--data", metavar="NAME", help="digits, cifar10, cifar100 or har; or your own readings.")
    ],
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
    guard_share_lost: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of the sure samples that guards hold back, though nothing is wrong; 0: no guards."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write the bundle; BUNDLE itself replaces it.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Find a bundle's guards, temperatures and thresholds anew, test them, and show the path they were chosen from.

    Example: `dewpoint calibrate digits --data digits --guarantee 0.02 --out digits.dew`

    Without one of --edge-share, --accuracy-budget and --guarantee the working point is chosen as it was before.
    Without --out nothing is written. The network id stays: a running edge takes the new file on its next start.
    """
    from rich.progress import Progress

    from hybrid_model import bundle as bundle_file
    from hybrid_model import calibration, data
    from services.cli.views import calibration_view

    ways = {"edge_share": edge_share, "accuracy_budget": accuracy_budget, "guarantee": guarantee}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        fail(f"--{given[0].replace('_', '-')} and --{given[1].replace('_', '-')} exclude each other; give one")
    must_be_writable(to)
    must_be_writable(json_path)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    changes: dict[str, Any] = {"by": given[0]} if given else {}
    changes |= {} if edge_share is None else {"edge_share": edge_share}
    changes |= {} if accuracy_budget is None else {"accuracy_budget": accuracy_budget / 100.0}
    changes |= {} if guarantee is None else {"alpha": guarantee}
    changes |= {} if delta is None else {"delta": delta}
    changes |= {} if guard_share_lost is None else {"guard_share_lost": guard_share_lost}
    wish = calibration.operating_point(calibration.wish_of(loaded.manifest), **changes)
    samples = data.load(dataset) if dataset in data.NAMES else own_readings.as_trained(loaded.manifest, dataset)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"calibrating {loaded.manifest.name}", total=calibration.samples_to_run(samples))
        found = calibration.calibrate(loaded, samples, wish, advance=lambda count: bar.advance(task, count))
    out.print(calibration_view.view(found.manifest))
    write_json(json_path, calibration_view.figures(found.manifest))
    if to is None:
        out.print("Nothing was written; --out FILE keeps it.")
    else:
        tell_written(to, bundle_file.save(to, found.manifest, found.edge, found.cloud))


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
        fail("`explore` needs Optuna; install it: pip install 'dewpoint[explore]'")
    from hybrid_model.exploration import Exploration, load_space
    from hybrid_model.exploration import report as reports
    from services.cli.interruption import interruptible

    must_be_writable(picture)
    must_be_writable(json_path)
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
    write_json(json_path, reports.figures(study))


@app.command()
@plain_errors
def evaluate(
    bundle: Bundle,
    dataset: Annotated[
        str,
        typer.Option(
            "--data", metavar="NAME", help="digits, cifar10, cifar100 or har, or your own pictures or readings."
        ),
    ],
    curve_path: Annotated[
        Path | None,
        typer.Option(
            "--curve", metavar="PATH", help="Write figures of the whole calibrated path to this file, as JSON."
        ),
    ] = None,
    picture: Picture = None,
    corruptions: Annotated[
        bool,
        typer.Option("--corruptions", help="Corrupt the pictures too: fifteen kinds, five severities, two cameras."),
    ] = False,
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Corrupt only the first N pictures of the test split.")
    ] = None,
    corruptions_picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the figures of --corruptions, which it implies.")
    ] = None,
    radio: RadioName = "wifi",
    json_path: Json = None,
) -> None:
    """Run both halves over a whole test split, without brokers.

    Example: `dewpoint evaluate digits --data digits --json figures.json --picture curve.svg`

    Of your own pictures those are scored that the bundle was never trained on.

    --curve and --picture show accuracy against edge share along the bundle's calibrated path, from the same pass.
    --corruptions runs the split 78 times more, which takes minutes a thousand pictures of CIFAR; see --samples.
    """  # fmt: skip
    from rich.progress import Progress

    from hybrid_model import bundle as bundle_file
    from hybrid_model import data, evaluation
    from services.cli import own
    from services.cli.views import evaluation_view

    for path in (json_path, curve_path, picture, corruptions_picture):
        must_be_writable(path)
    link, wants_curve = radio_named(radio), curve_path is not None or picture is not None
    wants_corruptions = corruptions or corruptions_picture is not None
    if samples is not None and not wants_corruptions:
        fail("--samples limits what --corruptions corrupts; all else is about the whole split: give both, or neither")
    must_be_drawable(picture)
    must_be_drawable(corruptions_picture)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    if wants_curve:
        evaluation.require_path(loaded.manifest, dataset)
    scored = None
    if own.is_own(dataset) and own.are_pictures(Path(dataset)):
        scored = own.scorable(Path(dataset), loaded.manifest)
        loaded_data = scored.main
    elif own.is_own(dataset):
        loaded_data = own_readings.held_out(loaded.manifest, dataset)
    else:
        loaded_data = data.load(dataset)
    if wants_corruptions:
        evaluation.require_pictures(loaded_data)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(f"evaluating {loaded.manifest.name}", total=len(loaded_data.test))
        said = evaluation.answers_on(
            loaded, loaded_data, with_scores=wants_curve, advance=lambda count: bar.advance(task, count)
        )
    found = evaluation.evaluate(loaded, loaded_data, said=said, radio=link)
    out.print(evaluation_view.evaluation_table(found))
    figures = found.to_json()
    if scored is not None:
        figures |= own.parts(scored, loaded, dict(figures))
    if wants_corruptions:
        from services.cli.views import corruption_view

        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("corrupted pictures", total=evaluation.samples_to_corrupt(loaded_data, samples))
            corrupted = evaluation.evaluate_corruptions(
                loaded, loaded_data, samples=samples, advance=lambda count: bar.advance(task, count)
            )
        out.print(corruption_view.corruption_tables(corrupted))
        figures |= corrupted.to_json()
        if corruptions_picture is not None:
            from services.cli.views import plots

            plots.draw_corruptions(corrupted, corruptions_picture)
    write_json(json_path, figures)
    if wants_curve:
        drawn = evaluation.curve(loaded, loaded_data, said, radio=link)
        write_json(curve_path, drawn.to_json())
        if picture is not None:
            from services.cli.views import plots

            plots.draw_curve(drawn, picture)


@app.command()
@plain_errors
def inspect(bundle: Bundle, picture: Picture = None, radio: RadioName = "wifi", json_path: Json = None) -> None:
    """Show a bundle: its layers with bits, bytes, operations and energy, its exits, its cut and its calibrated path.

    Example: `dewpoint inspect digits --picture energy.svg`
    """
    from hybrid_model import bundle as bundle_file
    from services.cli.views import bundle_view

    must_be_writable(json_path)
    must_be_writable(picture)
    link = radio_named(radio)
    must_be_drawable(picture)
    loaded = bundle_file.load(bundle_file.resolve(bundle), cloud=True)
    out.print(bundle_view.tables(loaded, link))
    write_json(json_path, bundle_view.figures(loaded, link))
    if picture is not None:
        from services.cli.views import plots

        plots.draw_energy(loaded.manifest, picture, link)
