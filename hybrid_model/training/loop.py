"""Training from a recipe to a run: whoever teaches first, then the network itself, with a progress bar."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hybrid_model.data import Dataset
from hybrid_model.training.recipe import Recipe, load_recipe
from hybrid_model.training.run import TrainingError, TrainingRun
from hybrid_model.training.trainer import Trainer

_BAR_STEPS = 1000


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    folder: Path,
    device: str | None = None,
    progress: bool = True,
    baseline: bool = False,
    deadline: float | None = None,
) -> TrainingRun:
    """Trains `recipe` on `dataset`, resuming from its checkpoint in `folder` if there is one.

    With `baseline`, or for a recipe that starts from its full-precision twin or is taught by it, the twin is trained
    first (`recipe.twin()`, with a checkpoint of its own); `TrainingRun.twin` is its run, or None. A teacher that the
    recipe names is trained before, or taken from its checkpoint: recipes share it.
    Writes `folder/NAME-sSEED.pt` every two minutes and after every epoch, and one JSON line of figures an epoch (on the
    tuning split) to `folder/NAME-sSEED.jsonl`. `device`: "cuda", "cpu", or None for a GPU where there is one.
    `deadline`: a `time.monotonic()` at which the run stops, wherever it stands; the run that comes back is then not
    `finished`, and the same call goes on with it.

    Raises RecipeError for a recipe that cannot be built, TrainingError for a loss that is no number or a teacher that
    does not know the classes.
    """
    twin: TrainingRun | None = None
    teacher = _teacher(recipe, dataset)
    shared = {"folder": folder, "device": device, "progress": progress, "deadline": deadline}
    taught_by = None if teacher is None else train(teacher, dataset, **shared)  # type: ignore[arg-type]
    if taught_by is not None and not taught_by.finished:
        return taught_by
    if recipe.needs_twin or baseline:
        twin = train(recipe.twin(), dataset, **shared)  # type: ignore[arg-type]
        if not twin.finished:
            return twin
    if recipe.losses.teacher == "twin":
        taught_by = twin
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = Trainer(
        recipe,
        dataset,
        folder,
        chosen,
        twin=None if twin is None else twin.network,
        teacher=None if taught_by is None else taught_by.network,
        deadline=deadline,
    )
    _run(trainer, progress=progress)
    if trainer.finished:
        trainer.binarization.at(1.0)
    # Sums depend on the order of their terms: in one layout, whatever is computed of the weights is always the same.
    network = trainer.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return TrainingRun(
        network.requires_grad_(True).eval(),
        recipe,
        trainer.precision or "unknown",
        trainer.seconds,
        trainer.history,
        twin,
        trainer.machine,
        teacher=taught_by,
        finished=trainer.finished,
    )


def _run(trainer: Trainer, *, progress: bool) -> None:
    columns = (
        TextColumn("[bold]{task.fields[name]}[/] {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=_BAR_STEPS, name=trainer.recipe.name, note="")
        bar.update(task, completed=trainer.progress * _BAR_STEPS)
        if not trainer.finished:
            bar.update(task, description="choosing precision")
            trainer.precision = trainer.precision or trainer.choose_precision()
        while not trainer.finished and not trainer.out_of_time:
            trainer.run_epoch(
                lambda text: bar.update(
                    task, completed=trainer.progress * _BAR_STEPS, description=f"{trainer.precision} {text}"
                )
            )
            if trainer.history:
                last = trainer.history[-1]
                tuning = f"tuning {last['tuning_final']:.3f}"
                tuning += f" (exit {last['tuning_exit0']:.3f})" if "tuning_exit0" in last else ""
                bar.update(task, note=f"loss {last['loss']:.3f}, {tuning}")


def _teacher(recipe: Recipe, dataset: Dataset) -> Recipe | None:
    """The recipe of a teacher apart from the twin."""
    name = recipe.losses.teacher
    if name in ("none", "twin"):
        return None
    teacher = load_recipe(name)
    if teacher.dataset != recipe.dataset or teacher.blueprint().classes != len(dataset.classes):
        raise TrainingError(
            f"recipe {recipe.name}: its teacher {name} learns {teacher.dataset}, not {recipe.dataset}: name another"
        )
    return teacher
