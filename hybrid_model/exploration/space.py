"""Spaces: which variants of a base recipe to try, in a TOML file that a person can read."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hybrid_model.errors import DewpointError
from hybrid_model.nn.backbones import FAMILIES
from hybrid_model.training.recipe import Recipe, RecipeError, load_recipe

Objective = Literal[
    "accuracy",
    "edge_share",
    "energy_mac_uj",
    "energy_full_uj",
    "energy_reduction_mac",
    "energy_reduction_full",
    "feature_bytes",
    "edge_latency_us",
    "edge_latency_ratio",
]
#: One label per axis: what Optuna stores of a trial.
Point = dict[str, str]
#: Field paths of a recipe, dotted, with the value that each is to have.
Changes = dict[str, Any]

MOST_POINTS = 10_000
_MINIMIZED = ("energy_mac_uj", "energy_full_uj", "feature_bytes", "edge_latency_us", "edge_latency_ratio")


class ExplorationError(DewpointError, ValueError):
    """A space that makes no sense, or a study that cannot be opened; the message says why and what to do."""


def direction(objective: str) -> Literal["maximize", "minimize"]:
    """Which way the objective is better."""
    return "minimize" if objective in _MINIMIZED else "maximize"


class Space(BaseModel):
    """A base recipe and its axes; every combination of one choice per axis is a point.

    `fields` is an axis per recipe field: its dotted path (`architecture.cut_bits`) and the values that it may take.
    `variants` is an axis of named choices that change several fields at once. `fixed` changes the base recipe for all.
    `trials` is how many points to train in all, `edge_share` where a network's curve is judged (the recipe's own if
    unset), `train_samples` how many training samples to use (all if unset).
    """

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    summary: str = ""
    recipe: str
    trials: int = Field(gt=0)
    sampler: Literal["grid", "random", "nsga2", "tpe"] = "grid"
    seed: int = Field(default=0, ge=0)
    objectives: tuple[Objective, ...] = Field(default=("accuracy", "energy_mac_uj"), min_length=2)
    edge_share: float | None = Field(default=None, gt=0, lt=1)
    train_samples: int | None = Field(default=None, gt=0)
    fixed: Changes = Field(default_factory=dict)
    fields: dict[str, list[Any]] = Field(default_factory=dict)
    variants: dict[str, dict[str, Changes]] = Field(default_factory=dict)

    @field_validator("objectives")
    @classmethod
    def _no_objective_twice(cls, value: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if len(set(value)) < len(value):
            raise ValueError("an objective is named twice")
        return value

    @cached_property
    def base(self) -> Recipe:
        """The base recipe with what is `fixed`. Raises RecipeError."""
        return _changed(load_recipe(self.recipe), self.fixed)

    @cached_property
    def axes(self) -> dict[str, dict[str, Changes]]:
        """Axis -> label -> what it changes. A field's labels are its values as JSON."""
        of_fields = {path: {json.dumps(v): {path: v} for v in values} for path, values in self.fields.items()}
        return {**of_fields, **self.variants}

    @cached_property
    def points(self) -> list[Point]:
        """Every combination that can be built, the last axis fastest."""
        found = [dict(zip(self.axes, labels, strict=True)) for labels in itertools.product(*self.axes.values())]
        return [point for point in found if self._can_be_built(point)]

    def recipe_at(self, point: Point) -> Recipe:
        """The recipe of a point, named after space and point.

        Where the number of exits is not the base recipe's and no axis sets `losses.exit_weights`, every exit gets the
        mean of the base recipe's weights. Raises RecipeError for a point that cannot be built.
        """
        changes = {k: v for axis, label in point.items() for k, v in self.axes[axis][label].items()}
        recipe = _changed(self.base, changes)
        if "losses.exit_weights" not in changes:
            recipe = _one_weight_per_exit(recipe)
        recipe = recipe.model_copy(update={"name": f"{self.name}-{key(point)}"})
        recipe.build()
        return recipe

    def fingerprint(self) -> str:
        """8 hex digits over all that makes trials comparable; a study belongs to one.

        How many trials, in which order and where the curve is judged best may change within a study.
        """
        body = {
            "base": self.base.model_dump(mode="json", exclude={"summary", "compile"}),
            "axes": self.axes,
            "objectives": self.objectives,
            "edge_share": self.edge_share,
            "train_samples": self.train_samples,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]

    def _can_be_built(self, point: Point) -> bool:
        try:
            self.recipe_at(point)
        except RecipeError:
            return False
        return True


def key(point: Point) -> str:
    """8 hex digits that name a point."""
    return hashlib.sha256(json.dumps(point, sort_keys=True).encode()).hexdigest()[:8]


def space_names() -> list[str]:
    """Names of the shipped spaces."""
    folder = resources.files("hybrid_model.exploration") / "spaces"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_space(name_or_path: str) -> Space:
    """A shipped space by name, or a TOML file by path; its `recipe` may be a path beside that file.

    Raises ExplorationError or RecipeError with what is wrong and what would be right.
    """
    path = Path(name_or_path)
    if name_or_path in space_names():
        text = (resources.files("hybrid_model.exploration") / "spaces" / f"{name_or_path}.toml").read_text()
    elif path.is_file():
        text = path.read_text()
    else:
        raise ExplorationError(f"no space {name_or_path!r}: give a file, or one of {', '.join(space_names())}")
    try:
        space = Space.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ExplorationError(f"{name_or_path}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ExplorationError(f"{name_or_path}: {where}: {first['msg']}") from error
    if (path.parent / space.recipe).is_file():
        space = space.model_copy(update={"recipe": str(path.parent / space.recipe)})
    _check(space, name_or_path)
    return space


def _check(space: Space, name: str) -> None:
    """Raises ExplorationError for axes that are empty, too many, or never fit together."""
    if not space.axes:
        raise ExplorationError(f"{name}: no axes; list values under [fields], or named choices under [variants.NAME]")
    twice = sorted(space.fields.keys() & space.variants.keys())
    if twice:
        raise ExplorationError(f"{name}: {twice[0]} is under [fields] and under [variants]; give it another name")
    size = 1
    for axis, choices in space.axes.items():
        given = len(space.fields.get(axis, choices))
        if not choices or len(choices) < given:
            raise ExplorationError(f"{name}: {axis}: {'a value stands there twice' if choices else 'no values'}")
        size *= len(choices)
    if size > MOST_POINTS:
        raise ExplorationError(f"{name}: {size:,} combinations; give at most {MOST_POINTS:,}, in several spaces")
    if not space.points:
        first = {axis: next(iter(choices)) for axis, choices in space.axes.items()}
        try:
            space.recipe_at(first)
        except RecipeError as error:
            raise ExplorationError(f"{name}: no combination can be built; the first: {error}") from error


def _changed(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with other values at dotted paths. Raises RecipeError for a path or a value that it does not take."""
    body = recipe.model_dump()
    for path, value in changes.items():
        *above, last = path.split(".")
        inner = body
        for part in above:
            inner = inner.get(part) if isinstance(inner, dict) else None  # type: ignore[assignment]
        known = isinstance(inner, dict) and (last in inner or above == ["architecture"])
        a_table = known and path != "architecture" and isinstance(inner.get(last), dict)
        if not known or a_table:
            wrong = "is a table" if a_table else "does not exist"
            raise RecipeError(f'recipe {recipe.name}: {path} {wrong}; give paths like "schedule.epochs", in quotes')
        inner[last] = value
    try:
        return Recipe.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"recipe {recipe.name}: {where}: {first['msg']}") from error


def _one_weight_per_exit(recipe: Recipe) -> Recipe:
    try:
        exits = len(FAMILIES[recipe.family](**recipe.architecture).exits)  # type: ignore[operator]
    except (KeyError, TypeError, ValueError):
        return recipe  # `Recipe.build` says what is wrong with it
    weights = recipe.losses.exit_weights
    if len(weights) == exits:
        return recipe
    mean = sum(weights) / len(weights)
    losses = recipe.losses.model_copy(update={"exit_weights": (mean,) * exits})
    return recipe.model_copy(update={"losses": losses})
