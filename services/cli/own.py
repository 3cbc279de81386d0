"""Commands on somebody's own data: which kind they are, what is chosen for them, and what may be scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli import teaching
from services.cli.common import err, fail, out, tell_written, write_json
from services.cli.own_readings import held_out, train_readings
from services.cli.own_report import report_beside
from services.cli.training_options import TrainingOptions

if TYPE_CHECKING:
    from hybrid_model.bundle import Bundle, Manifest
    from hybrid_model.data import Dataset
    from hybrid_model.data.own import OwnData
    from hybrid_model.evaluation import ScorablePictures
    from hybrid_model.planning import PictureWishes, Plan
    from hybrid_model.training import TrainingRun

#: Files of readings.
_READINGS = (".csv", ".tsv", ".gz", ".parquet")


def is_own(data: str) -> bool:
    """Whether `--data` names somebody's own folder or file, and no data set."""
    from hybrid_model.data import NAMES

    return data not in NAMES and Path(data).exists()


def first_given(options: Mapping[str, Any]) -> str | None:
    """The first option of these that was given, as it is written on the command line."""
    given = next((name for name, value in options.items() if value is not None), None)
    return None if given is None else f"--{given.replace('_', '-')}"


def train(
    path: Path,
    to: Path,
    options: TrainingOptions,
    *,
    of_pictures: Mapping[str, Any],
    of_readings: Mapping[str, Any],
) -> None:
    """Train a network on pictures or readings, say what was chosen for it and why; write the bundle and its report.

    `of_pictures`, `of_readings`: options that belong to one kind of data, None where they are to be chosen.
    """
    pictures = are_pictures(path)
    kind, others = ("pictures", of_readings) if pictures else ("readings", of_pictures)
    strange = first_given(others)
    if strange is not None:
        fail(f"{path} holds {kind}; {strange} is for {'readings' if pictures else 'pictures'}: leave it out")
    if pictures:
        _train_pictures(path, to, options, dict(of_pictures))
    else:
        train_readings(path, to, options, of_readings)


def _train_pictures(path: Path, to: Path, options: TrainingOptions, asked: dict[str, Any]) -> None:
    from hybrid_model.export import export_bundle, split_files
    from hybrid_model.training import train as run_training
    from services.cli.views import own_view

    teacher = {name: asked.pop(name) for name in list(asked) if name.startswith("teacher") or name == "unlabelled"}
    spec = teaching.model_spec(teacher)
    own, plan = _pictures(path, _picture_wishes(options, asked), options)
    learned_from = own.dataset
    if spec is not None:
        plan, learned_from = teaching.taught(plan, spec, own, teacher["unlabelled"])
    out.print(own_view.data(own))
    out.print(own_view.choices(plan.choices))
    recipe, baselines = plan.recipe, ["twin"] if options.twin else []
    run = run_training(
        recipe,
        learned_from,
        folder=options.checkpoints,
        device=options.device,
        baselines=baselines,  # type: ignore[arg-type]
    )
    network_id = export_bundle(run, own.dataset, to, split_files=split_files(own))
    tell_written(to, network_id)
    report = report_beside(to, own, run, plan.choices)
    out.print(own_view.not_reached(run, twin=options.twin), highlight=False, markup=False, soft_wrap=True)
    figures = _figures(to, network_id, own, plan, run) | {"report": report}
    if spec is not None:
        figures["teacher"] = teaching.agreement(spec, to, own.dataset)
    write_json(options.json_path, figures)


def scorable(path: Path, manifest: Manifest) -> ScorablePictures:
    """What of a folder or file a bundle may be scored on, and how much that is, said on stderr."""
    from hybrid_model import evaluation
    from hybrid_model.data.pictures import survey

    found = evaluation.scorable_pictures(survey(path), manifest)
    held_out, new = (0 if one is None else len(one.test) for one in (found.held_out, found.new))
    err.print(f"{path}: {held_out:,} held-out and {new:,} new pictures are scored", highlight=False, markup=False)
    for reason, count in found.not_scored.items():
        err.print(f"  not scored: {count:,}: {reason}", highlight=False, markup=False)
    return found


def parts(found: ScorablePictures, bundle: Bundle, main: dict[str, Any]) -> dict[str, Any]:
    """The figures of the held-out and of the new pictures apart; `main`: those of `found.main`, known already."""
    from hybrid_model import evaluation

    def figures(dataset: Dataset | None) -> dict[str, Any] | None:
        if dataset is None:
            return None
        return main if dataset is found.main else evaluation.evaluate(bundle, dataset).to_json()

    apart: dict[str, Any] = {
        "held_out": figures(found.held_out),
        "new": figures(found.new),
        "not_scored": dict(found.not_scored),
    }
    new = apart["new"]
    if new is not None and found.held_out is not None:
        told = f"new pictures, apart from these: {new['samples']:,}, accuracy {new['accuracy']['hybrid']:.2%}"
        out.print(f"{told}, {new['edge_share']:.1%} left on the edge", highlight=False, soft_wrap=True)
    return apart


def demonstrated(path: Path, bundle: str | None) -> tuple[Dataset, str]:
    """What a demonstration on own data sends, and the bundle for it: the one given, else one that was trained on it."""
    from hybrid_model import bundle as bundle_file

    if not are_pictures(path):
        if bundle is None:
            fail(f"{path}: name the network that was trained on these readings by --bundle")
        return held_out(bundle_file.load(bundle_file.resolve(bundle)).manifest, str(path)), bundle
    file = bundle_file.resolve(bundle) if bundle is not None else _bundle_of(path)
    return scorable(path, bundle_file.load(file).manifest).main, str(file)


def are_pictures(path: Path) -> bool:
    """Pictures, or nothing at all, of which the listing of pictures tells more than anything else."""
    from hybrid_model.data.pictures import holds_pictures

    readings = path.suffix in _READINGS or (path.is_dir() and any(p.suffix in _READINGS for p in path.iterdir()))
    return holds_pictures(path) or not readings


def _picture_wishes(options: TrainingOptions, asked: dict[str, Any]) -> PictureWishes:
    from hybrid_model.planning import PictureWishes, parse_budget

    budget = asked.pop("edge_budget", None)
    return PictureWishes(
        minutes=options.minutes or PictureWishes.minutes,
        minutes_given=options.minutes is not None,
        seed=options.seed or 0,
        edge_budget=None if budget is None else parse_budget(budget),
        **asked,
    )


def _pictures(path: Path, wishes: PictureWishes, options: TrainingOptions) -> tuple[OwnData, Plan]:
    import torch

    from hybrid_model import planning
    from hybrid_model.data import pictures
    from hybrid_model.training import within_minutes

    found = pictures.survey(path)
    pictures.require_trainable(found)
    on_gpu = torch.cuda.is_available() and options.device != "cpu"
    network = planning.choose_network(found, wishes, on_gpu=on_gpu)
    own = pictures.load_pictures(found, network.size)
    plan = planning.plan_pictures(own, network, wishes)
    if not options.twin:
        return own, plan
    minutes = plan.recipe.schedule.minutes or wishes.minutes
    shared = within_minutes(plan.recipe, minutes, ["twin"]).model_copy(update={"name": plan.recipe.name})
    return own, planning.Plan(recipe=shared, choices=plan.choices)


def _bundle_of(path: Path) -> Path:
    """The bundle beside the data, or here, that was trained on them."""
    from hybrid_model import bundle as bundle_file
    from hybrid_model.data.pictures import survey
    from hybrid_model.evaluation import digests_of

    digests = {one.digest for one in survey(path).pictures}
    for file in sorted({*Path().glob("*.dew"), *path.resolve().parent.glob("*.dew")}):
        try:
            manifest = bundle_file.load(file).manifest
        except bundle_file.BundleError:
            continue
        if any(digests & known for known in digests_of(manifest.split_files).values()):
            return file
    fail(f"{path}: no bundle here or beside it was trained on it; give one by --bundle, or train it: dewpoint train")


def _figures(to: Path, network_id: str, own: OwnData, plan: Plan, run: TrainingRun) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "bundle": str(to),
        "network_id": network_id,
        "recipe": plan.recipe.name,
        "plan": plan.recipe.model_dump(mode="json"),
        "choices": [asdict(choice) for choice in plan.choices],
        "samples": {name: len(own.dataset.split(name)) for name in own.sources},
        "left_out": [asdict(one) for one in own.left_out],
        "notes": list(own.notes),
        "precision": run.precision,
        "seconds": run.seconds,
        "passes": len(run.history),
        "history": run.history,
    }
