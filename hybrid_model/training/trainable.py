"""What can be trained: hybrid networks, and those that only teach them."""

from __future__ import annotations

from hybrid_model.nn import HybridNetwork
from hybrid_model.nn.whitened import WhitenedNet, WhitenedSpec
from hybrid_model.training.recipe import Recipe

Trainable = HybridNetwork | WhitenedNet


def untrained(recipe: Recipe) -> Trainable:
    """The recipe's network with random weights. Raises RecipeError as `Recipe.blueprint` does."""
    blueprint = recipe.blueprint()
    return WhitenedNet(blueprint) if isinstance(blueprint, WhitenedSpec) else HybridNetwork(blueprint)
