"""Recipes: everything a training run depends on, in a TOML file that a person can read."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hybrid_model.calibration import OperatingPoint
from hybrid_model.errors import DewpointError
from hybrid_model.nn.architecture import Architecture
from hybrid_model.nn.backbones import FAMILIES, TEACHERS
from hybrid_model.nn.whitened import WhitenedSpec
from hybrid_model.training.model_spec import ModelSpec, model_digest

#: What a network is compared with: its twin, taught by labels or by the recipe's teacher.
Baseline = Literal["twin", "taught_twin"]
#: Of the minutes of a run, what each has that is trained before it: its teacher, its twin.
FIRST_MINUTES_SHARE = 1 / 3


#: Teachers that no recipe trains.
_NO_RECIPE = ("none", "twin", "model")


class RecipeError(DewpointError, ValueError):
    """A recipe that cannot be found or does not make sense; the message says which and why."""


class Schedule(BaseModel):
    """How long and how fast. `lr` is the peak of the schedule: up from 0 over `warmup_share` of the run, then down.

    `decay` says how: `cosine` to zero (one cycle: Smith, Topin 2017, arXiv 1708.07120), `linear` to zero, or `steps`: a
    tenth from half of the run on, a hundredth from three quarters on (He et al. 2016, section 4.2).
    With `minutes` the run is over after so long, however many epochs that makes, `epochs_max` at most; all shares are
    then of that time, or of those epochs, whichever is over first.

    The full-precision twin takes `twin_epochs`, where given: it needs fewer than what learns with rounded numbers.

    `muon` trains the convolutions; what is no convolution takes AdamW at `adamw_lr` beside it. A run that starts from
    its trained twin has `lr_from_twin` for a peak, where given: a lower one keeps what the twin has learned.
    `binarize_weights_after` is the share of the run before which one-bit convolutions keep real weights; their
    activations are binary from the beginning. `frozen_share` is the share of the run before which stem and edge units
    stay what a trunk has made of them.
    """

    model_config = ConfigDict(extra="forbid")
    epochs: int = Field(gt=0)
    twin_epochs: int | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    epochs_max: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=128, gt=0)
    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    lr_from_twin: float | None = Field(default=None, gt=0)
    adamw_lr: float = Field(default=3e-3, gt=0)
    momentum: float = 0.9
    decay: Literal["cosine", "linear", "steps"] = "cosine"
    weight_decay: float = 1e-4
    warmup_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    binarize_weights_after: float = Field(default=0.0, ge=0.0, lt=1.0)
    frozen_share: float = Field(default=0.0, ge=0.0, lt=1.0)


class Losses(BaseModel):
    """The joint loss: final cross entropy + sum of exit_weights[i] x exit cross entropy (arXiv 2005.10851, section 3).

    `distillation` mixes into every exit's loss the Kullback-Leibler divergence from the final classifier's softened
    answer (Hinton et al. 2015, arXiv 1503.02531). `teacher` is a trained network that takes the final classifier's
    place in that: `twin`, the own full-precision twin; `model`, one that was trained elsewhere; or a recipe's name.
    `teacher_share` of the final loss then comes from the teacher's softened answer instead of the labels. Where labels
    take no part, samples need none.
    `two_stage`: first the backbone by its final loss, then the exits alone on the frozen backbone.
    `class_weights`: how much a sample of each class counts in the cross entropies; none: all alike.
    """

    model_config = ConfigDict(extra="forbid")
    method: Literal["joint", "two_stage"] = "joint"
    exit_weights: tuple[float, ...] = (0.5,)
    distillation: float = Field(default=0.0, ge=0.0, le=1.0)
    distillation_temperature: float = Field(default=2.0, gt=0)
    teacher: str = "none"
    teacher_share: float = Field(default=1.0, gt=0.0, le=1.0)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    class_weights: tuple[float, ...] = ()


class Recipe(BaseModel):
    """A whole training run.

    `augmentation` names the random changes to every batch (see `hybrid_model.training.augment`); pictures are moved by
    up to `translate_px`, and a square of `cutout_px` is blanked; without `mirror` none is mirrored. `model`: the
    teacher, where `losses.teacher` says so.
    `start`: random weights, those of the trained full-precision twin, or those of the bundle `trunk`, a file or a
    shipped one's name. `full_precision` makes it the twin's own run: see `twin`.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    summary: str = ""
    dataset: str
    family: str
    architecture: dict[str, Any] = Field(default_factory=dict)
    augmentation: Literal["none", "crop_flip", "reflected_crop", "camera", "digits", "sensor", "inertial"] = "none"
    translate_px: int = Field(default=4, ge=0)
    cutout_px: int = Field(default=0, ge=0)
    mirror: bool = True
    seed: int = 0
    compile: bool = False
    start: Literal["random", "twin", "trunk"] = "random"
    trunk: str = ""
    full_precision: bool = False
    schedule: Schedule
    losses: Losses = Losses()
    model: ModelSpec | None = None
    operating_point: OperatingPoint = OperatingPoint()

    def build(self) -> Architecture:
        """The architecture that the recipe names.

        Raises RecipeError if the family is unknown, refuses its arguments, or is none of hybrid networks.
        """
        arch = self.blueprint()
        if not isinstance(arch, Architecture):
            raise RecipeError(f"recipe {self.name} is of a teacher, which has no edge: it trains, but makes no bundle")
        return arch

    def blueprint(self) -> Architecture | WhitenedSpec:
        """What the network is made of, a hybrid one or one that only teaches.

        Raises RecipeError if the family is unknown or refuses its arguments.
        """
        known: dict[str, Any] = {**FAMILIES, **TEACHERS}
        if self.family not in known:
            raise RecipeError(f"recipe {self.name}: unknown family {self.family!r}; there are {', '.join(known)}")
        try:
            arch: Architecture | WhitenedSpec = known[self.family](**self.architecture)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"recipe {self.name}: {error}") from error
        exit_count = 0 if isinstance(arch, WhitenedSpec) else len(arch.exits)
        weights = self.losses.class_weights
        if weights and len(weights) != arch.classes:
            raise RecipeError(f"recipe {self.name}: {len(weights)} class weights for {arch.classes} classes")
        if len(self.losses.exit_weights) != exit_count:
            raise RecipeError(
                f"recipe {self.name}: {len(self.losses.exit_weights)} exit weights for {exit_count} exits"
            )
        return arch.twin() if self.full_precision and isinstance(arch, Architecture) else arch

    @property
    def needs_twin(self) -> bool:
        """Whether the trained full-precision twin takes part in this run, as its teacher or its start."""
        return self.start == "twin" or self.losses.teacher == "twin"

    def teacher(self) -> Recipe | None:
        """The recipe of a teacher apart from the twin, where there is one. Raises RecipeError where it is unknown.

        In a run that is bounded in minutes it has a third of them, and another name.
        """
        if self.losses.teacher in _NO_RECIPE:
            return None
        found = load_recipe(self.losses.teacher)
        return found if self.schedule.minutes is None else found.within(self.schedule.minutes * FIRST_MINUTES_SHARE)

    def within(self, minutes: float) -> Recipe:
        """The same run, over after so many minutes, with a name that says so."""
        schedule = self.schedule.model_copy(update={"minutes": minutes})
        return self.model_copy(update={"name": f"{self.name}-{minutes:.3g}min", "schedule": schedule})

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of this run: `schedule.lr_from_twin` where it starts from its twin, if given."""
        lower = self.schedule.lr_from_twin
        return lower if self.start == "twin" and lower is not None else self.schedule.lr

    def twin(self) -> Recipe:
        """The full-precision twin's recipe: the same layers, data, schedule and seed, no exits and no teacher."""
        return self._full_precision("twin", teacher="none")

    def taught_twin(self) -> Recipe:
        """The twin's recipe with the teacher that this one has.

        Raises RecipeError where that is the twin itself, or there is none.
        """
        if self.losses.teacher in _NO_RECIPE and self.losses.teacher != "model":
            raise RecipeError(f"recipe {self.name} has no teacher apart from its twin, so no twin can learn from it")
        return self._full_precision("taught-twin", teacher=self.losses.teacher)

    def _full_precision(self, suffix: str, *, teacher: str) -> Recipe:
        losses = self.losses.model_copy(
            update={"method": "joint", "exit_weights": (0.0,) * len(self.losses.exit_weights), "teacher": teacher}
        )
        minutes = self.schedule.minutes
        schedule = self.schedule.model_copy(
            update={
                "lr_from_twin": None,
                "binarize_weights_after": 0.0,
                "frozen_share": 0.0,
                "epochs": self.schedule.twin_epochs or self.schedule.epochs,
                "twin_epochs": None,
                "minutes": minutes and minutes * FIRST_MINUTES_SHARE,
            }
        )
        return self.model_copy(
            update={
                "name": f"{self.name}-{suffix}",
                "full_precision": True,
                "start": "random",
                "trunk": "",
                "schedule": schedule,
                "losses": losses,
            }
        )

    def fingerprint(self) -> str:
        """12 hex digits over everything that shapes the weights; a checkpoint resumes only under the same.

        Fields at their defaults are left out, so that a new field does not orphan older checkpoints. A teacher's own
        fingerprint is part of it. Raises RecipeError for a teacher that cannot be found.
        """
        aside: dict[str, Any] = {"summary": True, "operating_point": True, "compile": True}
        body = self.model_dump(
            mode="json",
            exclude=aside | {"schedule": {"twin_epochs"}},
            exclude_defaults=True,
            exclude_none=True,
        )
        teacher = self.teacher()
        if teacher is not None:
            body["teacher"] = teacher.fingerprint()
        if self.model is not None:
            body["model"]["path"] = model_digest(self.model.path)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]


def within_minutes(recipe: Recipe, minutes: float, baselines: Collection[Baseline] = ()) -> Recipe:
    """The recipe for a run that is over after `minutes`, with its teacher and what of its twins has to be trained."""
    twins = {"twin"} if recipe.needs_twin else set()
    first = len(twins | set(baselines)) + (recipe.losses.teacher not in _NO_RECIPE)
    return recipe.within(minutes / (1 + FIRST_MINUTES_SHARE * first))


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    folder = resources.files("hybrid_model.training") / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or a file by path: TOML, or JSON as a bundle's provenance has it.

    Raises RecipeError with what is wrong and what would be right.
    """
    path = Path(name_or_path)
    if name_or_path in recipe_names():
        text = (resources.files("hybrid_model.training") / "recipes" / f"{name_or_path}.toml").read_text()
    elif path.is_file():
        text = path.read_text()
    else:
        raise RecipeError(f"no recipe {name_or_path!r}: give a file, or one of {', '.join(recipe_names())}")
    try:
        return Recipe.model_validate(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise RecipeError(f"{name_or_path}: does not parse: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{name_or_path}: {where}: {first['msg']}") from error
