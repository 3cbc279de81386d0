"""A plan whose network learns from a model that somebody has."""

from __future__ import annotations

from pathlib import Path

from hybrid_model.planning.choice import Choice
from hybrid_model.planning.plan import Plan
from hybrid_model.training.model_spec import ModelSpec

__all__ = ["taught_by_model"]


def taught_by_model(plan: Plan, spec: ModelSpec, *, unlabelled: int = 0) -> Plan:
    """The plan with its network's losses taken from the model's answers alone; labels only judge then.

    `unlabelled`: how many pictures without a label are among what it learns from.
    """
    losses = plan.recipe.losses.model_copy(
        update={"teacher": "model", "teacher_share": 1.0, "distillation": 1.0, "class_weights": ()}
    )
    recipe = plan.recipe.model_copy(update={"losses": losses, "model": spec})
    beside = f", and of {unlabelled:,} pictures without a label" if unlabelled else ""
    choice = Choice(
        "teacher",
        Path(spec.path).name,
        f"the network learns what it answers of the training pictures{beside}; labels only judge",
        given=True,
    )
    kept = tuple(one for one in plan.choices if one.name != "class weights")
    return Plan(recipe=recipe, choices=(*kept, choice))
