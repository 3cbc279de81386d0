"""Classes may count unevenly, pictures may stay unmirrored, and a recipe that does not fit says so."""

import pytest
import torch

from hybrid_model.nn import HybridOutput
from hybrid_model.training import RecipeError, load_recipe
from hybrid_model.training.augment import Augmenter
from hybrid_model.training.losses import final_loss
from hybrid_model.training.recipe import Losses


def _output(logits: torch.Tensor) -> HybridOutput:
    return HybridOutput([], logits)


def test_a_class_of_double_weight_counts_as_if_it_were_there_twice():
    logits, labels = torch.tensor([[2.0, 0.0], [1.0, -1.0], [0.5, 0.1]]), torch.tensor([0, 0, 1])
    weighted = final_loss(_output(logits), labels, Losses(class_weights=(1.0, 2.0)))
    twice = final_loss(_output(logits[[0, 1, 2, 2]]), labels[[0, 1, 2, 2]], Losses())
    assert torch.allclose(weighted, twice)


def test_as_many_weights_as_classes_are_asked_for():
    recipe = load_recipe("digits")
    losses = recipe.losses.model_copy(update={"class_weights": (1.0, 2.0)})
    with pytest.raises(RecipeError, match="2 class weights for 10 classes"):
        recipe.model_copy(update={"losses": losses}).build()


@pytest.mark.parametrize("mirror", [True, False])
def test_without_mirror_no_picture_is_mirrored(mirror):
    recipe = load_recipe("digits").model_copy(
        update={"augmentation": "reflected_crop", "translate_px": 0, "mirror": mirror}
    )
    batch = torch.arange(64, dtype=torch.uint8).reshape(16, 1, 4, 1)
    augment = Augmenter(recipe, 16, torch.zeros(1), torch.device("cpu"))
    seen, _ = augment(batch, torch.arange(16), epoch=0, step=0)
    assert torch.equal(seen, batch) is not mirror


def test_new_fields_of_recipes_orphan_no_checkpoint():
    assert (
        load_recipe("digits").fingerprint() == load_recipe("digits").model_copy(update={"mirror": True}).fingerprint()
    )
