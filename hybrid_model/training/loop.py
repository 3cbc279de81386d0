"""Training from a recipe to a run: whoever teaches first, then the network itself, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hybrid_model.data import Dataset
from hybrid_model.training.model_teacher import OnnxTeacher
from hybrid_model.training.recipe import Baseline, Recipe
from hybrid_model.training.run import TrainingError, TrainingRun
from hybrid_model.training.teacher import Teacher, TrainedTeacher
from hybrid_model.training.trainer import Trainer

_BAR_STEPS = 1000


def train(
    recipe: Recipe,
    dataset: Dataset,
    *,
    folder: Path,
    device: str | None = None,
    progress: bool = True,
    baselines: Collection[Baseline] = (),
    stop: Callable[[], bool] = lambda: False,
) -> TrainingRun:
    """Trains `recipe` on `dataset`, resuming from its checkpoint in `folder` if there is one.

    A teacher that the recipe names is trained first, or taken from its checkpoint: recipes share it. Then the
    full-precision twin (`recipe.twin()`), where it is among the `baselines` or takes part in the run, and the twin that
    learns from the teacher (`recipe.taught_twin()`), where it is among them: each has a checkpoint of its own, and its
    run is in `TrainingRun.twin` and `TrainingRun.taught_twin`.
    Writes `folder/NAME-sSEED.pt` every two minutes and after every epoch, and one JSON line of figures an epoch (on the
    tuning split) to `folder/NAME-sSEED.jsonl`. `device`: "cuda", "cpu", or None for a GPU where there is one.
    `stop` is asked after every step: True ends it there. The run that comes back is then not `finished` (it may be one
    of those that come first), and the same call goes on with it.

    Raises RecipeError for a recipe that cannot be built, TrainingError for a loss that is no number or a teacher that
    does not know the classes.
    """
    wanted = {
        "teacher": _teacher(recipe, dataset),
        "twin": recipe.twin() if recipe.needs_twin or "twin" in baselines else None,
        "taught_twin": recipe.taught_twin() if "taught_twin" in baselines else None,
    }
    first: dict[str, TrainingRun] = {}
    for role, other in wanted.items():
        if other is not None:
            first[role] = train(other, dataset, folder=folder, device=device, progress=progress, stop=stop)
            if not first[role].finished:
                return first[role]
    twin = first.get("twin")
    taught_by = twin if recipe.losses.teacher == "twin" else first.get("teacher")
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    teacher: Teacher | None = None
    if recipe.losses.teacher == "model":
        if recipe.model is None:
            raise TrainingError(f"recipe {recipe.name}: its teacher is a model, and none is given")
        teacher = OnnxTeacher(recipe.model, dataset.classes)
    elif taught_by is not None:
        teacher = TrainedTeacher(taught_by.network, chosen, compiled=recipe.compile)
    trainer = Trainer(
        recipe,
        dataset,
        folder,
        chosen,
        twin=None if twin is None else twin.network,
        teacher=teacher,
        stop=stop,
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
        taught_twin=first.get("taught_twin"),
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
            began = time.perf_counter()
            trainer.precision = trainer.precision or trainer.choose_precision()
            if trainer.recipe.schedule.minutes is not None:
                trainer.seconds += time.perf_counter() - began
        while not trainer.finished and not trainer.asked_to_stop():
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
    teacher = recipe.teacher()
    if teacher is not None and (
        teacher.dataset != recipe.dataset or teacher.blueprint().classes != len(dataset.classes)
    ):
        raise TrainingError(
            f"recipe {recipe.name}: its teacher {recipe.losses.teacher} learns {teacher.dataset}, not {recipe.dataset}"
            ": name another"
        )
    return teacher
