"""Commands about networks: export, calibrate, explore, evaluate, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import own_readings
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
