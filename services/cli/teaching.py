"""A model that somebody has, as the teacher of a network on their own pictures: options, data, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.cli.common import fail, out

if TYPE_CHECKING:
    from hybrid_model.data import Dataset
    from hybrid_model.data.own import OwnData
    from hybrid_model.planning import Plan
    from hybrid_model.training import ModelSpec

TeacherFile = Annotated[
    Path | None, typer.Option("--teacher", metavar="ONNX", help="Pictures: a model of yours to learn from.")
]
TeacherLayout = Annotated[
    Literal["nchw", "nhwc"] | None, typer.Option(help="How the teacher takes pictures; read from it if unset.")
]
TeacherMean = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="What the teacher takes off first, in 0..1; read from it, else 0.")
]
TeacherDeviation = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="What it divides by then; read from it, else 1.")
]
TeacherClasses = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Its outputs in order, where they are not your classes by name.")
]
UnlabelledFolder = Annotated[
    Path | None, typer.Option("--unlabelled", metavar="FOLDER", help="With --teacher: pictures without a label.")
]


def model_spec(asked: Mapping[str, Any]) -> ModelSpec | None:
    """The teacher that was asked for; `asked`: options by name."""
    from hybrid_model.training import ModelSpec

    path = asked["teacher"]
    if path is None:
        given = next((name for name, value in asked.items() if value is not None), None)
        if given is not None:
            fail(f"--{given.replace('_', '-')} belongs to --teacher: give the model too")
        return None
    return ModelSpec(
        path=str(path),
        layout=asked["teacher_layout"],
        mean=_numbers("teacher-mean", asked["teacher_mean"]),
        deviation=_numbers("teacher-deviation", asked["teacher_deviation"]),
        classes=None if asked["teacher_classes"] is None else tuple(_parts(asked["teacher_classes"])),
    )


def taught(plan: Plan, spec: ModelSpec, own: OwnData, folder: Path | None) -> tuple[Plan, Dataset]:
    """The plan with this teacher, and what it learns from: the training pictures, and those of `folder`.

    Pictures that are held out are not learned from, label or not. Raises ModelError for a model that cannot teach.
    """
    from hybrid_model.data.pictures import load_unlabelled
    from hybrid_model.planning import taught_by_model
    from hybrid_model.training import OnnxTeacher

    OnnxTeacher(spec, own.dataset.classes)  # what is wrong with it is told before the hours
    if folder is None:
        return taught_by_model(plan, spec), own.dataset
    known = {digest for some in own.digests.values() for digest in some}
    found = load_unlabelled(folder, own.dataset.train.x.shape[1], known=known)
    told = f"{folder}: {len(found.x):,} pictures without a label, {len(found.left_out):,} left out"
    out.print(told, highlight=False, markup=False)
    return taught_by_model(plan, spec, unlabelled=len(found.x)), found.beside(own.dataset)


def agreement(spec: ModelSpec, bundle: Path, dataset: Dataset) -> dict[str, float]:
    """On the held-out pictures: how often network and teacher say the same, and how often each is right."""
    import torch

    from hybrid_model import bundle as bundle_file
    from hybrid_model import evaluation
    from hybrid_model.training import OnnxTeacher

    said = evaluation.answers_on(bundle_file.load(bundle, cloud=True), dataset)
    teacher = OnnxTeacher(spec, dataset.classes)
    taught_class = teacher(torch.from_numpy(dataset.test.x)).argmax(1).numpy()
    found = {
        "agreement": float((said.hybrid_class == taught_class).mean()),
        "accuracy": float((said.hybrid_class == dataset.test.y).mean()),
        "teacher_accuracy": float((taught_class == dataset.test.y).mean()),
    }
    out.print(
        f"On {len(dataset.test):,} held-out pictures the network agrees with its teacher on {found['agreement']:.1%}; "
        f"{found['accuracy']:.1%} of its answers are right, {found['teacher_accuracy']:.1%} of the teacher's",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    return found


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in _parts(text))
    except ValueError:
        fail(f"--{name} {text}: takes one number, or one a channel, with commas between them")
