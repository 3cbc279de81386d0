"""A run whose loss is no number any more ends at once, and leaves its last good checkpoint."""

from __future__ import annotations

import pytest
import torch

from hybrid_model import data
from hybrid_model.training import TrainingError, load_recipe, train


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_stored(tmp_path, monkeypatch):
    digits = data.load("digits", progress=False)
    shipped = load_recipe("digits")
    recipe = shipped.model_copy(update={"schedule": shipped.schedule.model_copy(update={"epochs": 3})})
    whole = "hybrid_model.training.trainer.Trainer._update"
    from hybrid_model.training.trainer import Trainer

    sound = Trainer._update

    def breaks(self, x, taught, rows, precision):
        loss = sound(self, x, taught, rows, precision)
        return torch.tensor(float("nan")) if self.epoch == 1 else loss

    monkeypatch.setattr(whole, breaks)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(recipe, digits, folder=tmp_path, device="cpu", progress=False)
    stored = torch.load(tmp_path / "digits-s0.pt", weights_only=True)
    assert stored["epoch"] == 1
    assert len(stored["history"]) == 1
