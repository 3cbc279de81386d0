"""Networks of somebody's own readings: trained from files, and judged by what they were not trained with."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.cli.common import out, tell_written, write_json
from services.cli.own_report import report_beside
from services.cli.training_options import TrainingOptions

if TYPE_CHECKING:
    from hybrid_model.bundle import Manifest
    from hybrid_model.data import Dataset
    from hybrid_model.data.readings import OwnReadings
    from hybrid_model.planning import Plan
    from hybrid_model.training import Baseline

DeviceColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Readings: column of the device; `device` or `subject` if unset.")
]
TimeColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Readings: column of times; `time` if unset.")]
TimeUnit = Annotated[
    Literal["s", "ms", "us", "ns"] | None, typer.Option(help="Readings: unit of times; by their size if unset.")
]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Readings: column of classes; `label` if unset.")]
Channels = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Readings: columns of the channels; all others if unset.")
]
WindowS = Annotated[float | None, typer.Option(min=0, help="Readings: seconds of a window; chosen if unset.")]
HopS = Annotated[
    float | None, typer.Option(min=0, help="Readings: seconds to the next window; half a window if unset.")
]
RateHz = Annotated[
    float | None, typer.Option(min=0, help="Readings a second; told by times if unset. Another: interpolated to it.")
]
SplitBy = Annotated[
    Literal["device", "time"] | None,
    typer.Option(
        "--split", help="Readings: set whole devices aside, or the end of each; devices where there are some."
    ),
]
Triples = Annotated[
    bool | None,
    typer.Option("--triples/--no-triples", help="Readings: channels are x, y, z of a sensor that may be turned."),
]
EdgeKb = Annotated[float | None, typer.Option(min=0, help="Readings: what weights of the edge half may take, in kB.")]

MINUTES = 10.0


def train_readings(path: Path, to: Path, options: TrainingOptions, asked: Mapping[str, Any]) -> None:
    """Read the files, choose a recipe, train, calibrate, write the bundle and its report; `asked`: options of readings.

    Raises ReadingsError, PlanningError, or what training raises.
    """
    from hybrid_model.data.readings import load_readings
    from hybrid_model.export import export_bundle
    from hybrid_model.planning import plan_readings
    from hybrid_model.training import train, within_minutes

    channels = asked["channels"]
    own = load_readings(
        path,
        channels=None if channels is None else [name.strip() for name in channels.split(",")],
        device=asked["device_column"],
        time=asked["time_column"],
        time_unit=asked["time_unit"],
        label=asked["label_column"],
        window_s=asked["window_s"],
        hop_s=asked["hop_s"],
        rate_hz=asked["rate_hz"],
        split=asked["split"],
    )
    minutes = options.minutes or MINUTES
    plan = plan_readings(
        own, minutes=minutes, edge_kb=asked["edge_kb"], triples=asked["triples"], seed=options.seed or 0
    )
    _tell(own, plan)
    baselines: list[Baseline] = ["twin"] if options.twin else []
    recipe = within_minutes(plan.recipe, minutes, baselines)
    run = train(recipe, own.dataset, folder=options.checkpoints, device=options.device, baselines=baselines)
    export_bundle(run, own.dataset, to)
    network_id = _described(to, own)
    tell_written(to, network_id)
    report = report_beside(to, own, run, plan.choices)
    out.print(
        "An edge worker takes these readings with\n"
        f'  [[edge.inputs]]\n  kind = "sensor"\n  window = {{ length = {own.form.length}, hop = {own.form.hop} }}\n'
        f"The values of a row, in this order: {', '.join(own.form.channels)}",
        highlight=False, markup=False,
    )  # fmt: skip
    out.print(f"What it is worth: dewpoint evaluate {to} --data {path}", highlight=False, markup=False)
    write_json(
        options.json_path,
        {
            "bundle": str(to),
            "network_id": network_id,
            "recipe": recipe.name,
            "seconds": run.seconds,
            "notes": list(own.notes),
            "left_out": [{"source": one.source, "reason": one.reason} for one in own.left_out],
            "choices": [
                {"name": one.name, "value": one.value, "reason": one.reason, "given": one.given} for one in plan.choices
            ],
            "windows": {name: len(own.sources[name]) for name in own.sources},
            "history": run.history,
            "report": report,
        },
    )


def held_out(manifest: Manifest, path: str) -> Dataset:
    """What of these files the network was not trained with.

    Raises EvaluationError for a network of other data, DataError where nothing can be read or is left.
    """
    from hybrid_model import data
    from hybrid_model.evaluation.held_out import held_out_readings

    if not Path(path).exists():
        data.load(path)  # says which data sets there are
    dataset, notes = held_out_readings(manifest, path)
    for line in notes:
        out.print(f"- {line}", highlight=False, markup=False)
    return dataset


def as_trained(manifest: Manifest, path: str) -> Dataset:
    """The readings that the network was trained with, from their files. Raises EvaluationError or DataError."""
    from hybrid_model import data
    from hybrid_model.evaluation.held_out import readings_as_trained

    return readings_as_trained(manifest, path) if Path(path).exists() else data.load(path)


def _tell(own: OwnReadings, plan: Plan) -> None:
    """What was read, what was left out, and what was chosen."""
    dataset = own.dataset
    sizes = ", ".join(f"{len(dataset.split(name)):,} {name}" for name in own.sources)
    lines: Sequence[str] = [
        f"{dataset.name}: {len(dataset.classes)} classes, {len(dataset.channels or ())} channels; windows: {sizes}",
        *(f"- {line}" for line in own.notes),
        *(f"- left out: {one.source}: {one.reason}" for one in own.left_out),
        "Chosen:",
        *(f"- {one.name}: {one.value} ({one.reason})" for one in plan.choices),
    ]
    for line in lines:
        out.print(line, highlight=False, markup=False)


def _described(to: Path, own: OwnReadings) -> str:
    """Call the bundle by its file, and add what it was made of and how its readings were cut; its network id stays."""
    from hybrid_model import bundle as bundle_file
    from hybrid_model.bundle.manifest import SplitFiles

    written = bundle_file.load(to, cloud=True)
    digests = {name: base64.b64encode(b"".join(of)).decode() for name, of in own.digests.items()}
    changes = {
        "split_files": SplitFiles.model_validate({"kind": "readings", "digests": digests}),
        "name": to.stem,
        "provenance": {**written.manifest.provenance, "readings": own.form.to_json()},
    }
    return bundle_file.save(to, written.manifest.model_copy(update=changes), written.edge, written.cloud)
