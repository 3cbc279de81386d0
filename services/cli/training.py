"""`dewpoint train`: a network by a recipe, or on somebody's own pictures or readings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli import own_readings, teaching
from services.cli.common import Json, app, fail, must_be_writable, plain_errors, tell_written, write_json


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
            help="Train the full-precision twin too, the baseline that `evaluate` compares with; with a recipe it is, "
            "and with readings, where it teaches, always.",
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
