"""Training: recipes in readable files, and a resumable loop with its checkpoints."""

from hybrid_model.training.checkpoint import stored_run
from hybrid_model.training.loop import train
from hybrid_model.training.model_spec import ModelError, ModelSpec
from hybrid_model.training.model_teacher import OnnxTeacher
from hybrid_model.training.recipe import Baseline, Recipe, RecipeError, load_recipe, recipe_names, within_minutes
from hybrid_model.training.run import TrainingError, TrainingRun

__all__ = [
    "Baseline",
    "ModelError",
    "ModelSpec",
    "OnnxTeacher",
    "Recipe",
    "RecipeError",
    "TrainingError",
    "TrainingRun",
    "load_recipe",
    "recipe_names",
    "stored_run",
    "train",
    "within_minutes",
]
