"""Training: recipes in readable files, a resumable loop, calibration of the exits, export to a bundle."""

from hybrid_model.training.export import export_bundle
from hybrid_model.training.loop import TrainingError, TrainingRun, train
from hybrid_model.training.recipe import Recipe, RecipeError, load_recipe, recipe_names

__all__ = [
    "Recipe",
    "RecipeError",
    "TrainingError",
    "TrainingRun",
    "export_bundle",
    "load_recipe",
    "recipe_names",
    "train",
]
