"""A training run as its checkpoint left it."""

from __future__ import annotations

from pathlib import Path

from hybrid_model.nn import HybridNetwork
from hybrid_model.training.checkpoint import Checkpoint
from hybrid_model.training.loop import TrainingError, TrainingRun
from hybrid_model.training.recipe import Recipe


def stored_run(recipe: Recipe, path: Path) -> TrainingRun:
    """The network of a checkpoint of this recipe, finished or not, with its twin where that lies beside it.

    Raises TrainingError.
    """
    if not path.is_file():
        raise TrainingError(f"{path}: no such checkpoint; `dewpoint train` writes one")
    try:
        state = Checkpoint(path, recipe.fingerprint()).load()
    except Exception as error:  # torch raises what it likes for a file that is no checkpoint
        raise TrainingError(f"{path}: not a checkpoint ({error})") from error
    if state is None:
        raise TrainingError(f"{path}: not a checkpoint of recipe {recipe.name} as it is now; give the right --recipe")
    network = HybridNetwork(recipe.build())
    network.load_state_dict(state["network"])
    twin_recipe = recipe.twin()
    twin_path = path.with_name(f"{twin_recipe.name}-s{recipe.seed}.pt")
    twin = None if recipe.full_precision or not twin_path.is_file() else stored_run(twin_recipe, twin_path)
    return TrainingRun(
        network.eval(),
        recipe,
        state.get("precision") or "unknown",
        float(state["seconds"]),
        list(state["history"]),
        twin,
        state.get("machine", "unknown"),
    )
