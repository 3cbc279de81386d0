"""Checkpoints: the state of a run on disk, written whole or not at all, and the run as its checkpoint left it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from hybrid_model.training.recipe import Recipe
from hybrid_model.training.run import TrainingError, TrainingRun
from hybrid_model.training.trainable import untrained


class Checkpoint:
    """One file that a run writes now and then and resumes from.

    It belongs to one recipe fingerprint; a file of another recipe is never loaded.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Writes `state` atomically. Raises TrainingError where it cannot be written; the last one stays then."""
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Through a file of our own: torch's writer tells a full disk as an internal error.
            with part.open("wb") as file:
                torch.save({"fingerprint": self.fingerprint, **state}, file)
            os.replace(part, self.path)
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise TrainingError(
                f"{self.path}: the checkpoint cannot be written ({_brief(error)}); make space or name another folder "
                "by --checkpoints: the same command goes on from the last one"
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The last state, or None where there is none of this recipe."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state if state.get("fingerprint") == self.fingerprint else None


def _brief(error: Exception) -> str:
    """The cause in a few words: torch's own writer wraps what the file said."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error).splitlines()[0][:120]


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
    network = untrained(recipe)
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
        finished=bool(state["finished"]),
    )
