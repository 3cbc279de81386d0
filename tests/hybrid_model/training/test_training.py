"""Training on real digits: recipes, resuming, two stages, and what a run refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hybrid_model import data
from hybrid_model.nn import HybridOutput
from hybrid_model.training import RecipeError, TrainingError, load_recipe, recipe_names, train
from hybrid_model.training.augment import crop_flip
from hybrid_model.training.losses import distillation_loss, joint_loss
from hybrid_model.training.precision import choose_precision
from hybrid_model.training.recipe import Losses


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture
def recipe():
    short = load_recipe("digits")
    return short.model_copy(update={"schedule": short.schedule.model_copy(update={"epochs": 4})})


def test_a_few_epochs_on_digits_learn_most_of_them(recipe, digits, tmp_path):
    longer = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": 12})})
    run = train(longer, digits, folder=tmp_path, device="cpu", progress=False)
    assert run.history[-1]["tuning_final"] > 0.85
    assert run.history[-1]["tuning_exit0"] > 0.85


def test_a_run_that_was_broken_off_resumes_where_it_stood(recipe, digits, tmp_path, monkeypatch):
    from hybrid_model.training import trainer as loop

    whole = loop.Trainer.run_epoch

    def breaks_in_the_third(self, advance):
        if self.epoch == 2:
            raise KeyboardInterrupt
        whole(self, advance)

    monkeypatch.setattr(loop.Trainer, "run_epoch", breaks_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, digits, folder=tmp_path, device="cpu", progress=False)
    monkeypatch.setattr(loop.Trainer, "run_epoch", whole)

    run = train(recipe, digits, folder=tmp_path, device="cpu", progress=False)

    assert [line["epoch"] for line in run.history] == [1, 2, 3, 4]


@pytest.mark.parametrize(("share", "told"), [(0.5, [32, 32, 1, 1]), (0.9, [32, 32, 32, 1])])
def test_one_bit_weights_stay_real_until_their_share_of_the_run_has_passed(
    recipe, digits, tmp_path, monkeypatch, share, told
):
    from hybrid_model.training import trainer as loop

    bits = []
    whole = loop.Trainer._note

    def looks(self, mean_loss):
        bits.append(self.network.edge[0].conv.weight_bits)
        whole(self, mean_loss)

    monkeypatch.setattr(loop.Trainer, "_note", looks)
    late = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"binarize_weights_after": share})})
    run = train(late, digits, folder=tmp_path, device="cpu", progress=False)
    assert bits == told
    assert run.network.edge[0].conv.weight_bits == 1, "what leaves training is binary, however late"


def test_a_checkpoint_of_another_recipe_is_not_resumed(recipe, digits, tmp_path):
    train(recipe, digits, folder=tmp_path, device="cpu", progress=False)
    other = recipe.model_copy(update={"architecture": {"widths": [16, 32]}})
    run = train(other, digits, folder=tmp_path, device="cpu", progress=False)
    assert run.history[0]["epoch"] == 1
    assert run.network.stem.conv.weight.shape[0] == 16


def test_in_two_stages_the_second_leaves_the_backbone_as_it_is(recipe, digits, tmp_path):
    losses = recipe.losses.model_copy(update={"method": "two_stage"})
    backbones = []
    for epochs in (3, 4):  # of 4 epochs the first 3 are stage one
        schedule = recipe.schedule.model_copy(update={"epochs": 4})
        staged = recipe.model_copy(update={"losses": losses, "schedule": schedule})
        run = _run_epochs(staged, digits, tmp_path, epochs)
        backbones.append({k: v.clone() for k, v in run.network.state_dict().items()})
    changed = {k for k in backbones[0] if not torch.equal(backbones[0][k], backbones[1][k])}
    assert changed
    assert {k.split(".")[0] for k in changed} == {"exits"}


def _run_epochs(recipe, dataset, folder, epochs):
    from hybrid_model.training.trainer import Trainer

    trainer = Trainer(recipe, dataset, folder, torch.device("cpu"))
    trainer.precision = "fp32"
    while trainer.epoch < epochs:
        trainer.run_epoch(lambda text: None)
    return trainer


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_builds(name):
    recipe = load_recipe(name)
    assert recipe.summary
    assert recipe.blueprint().classes >= 2
    teacher = recipe.teacher()
    assert teacher is None or teacher.blueprint().classes == recipe.build().classes


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(RecipeError, match="digits"):
        load_recipe("cifar11")


def test_a_recipe_with_a_wrong_key_says_which(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\ndataset = "digits"\nfamily = "digits"\nepoch = 3\n[schedule]\nepochs = 3\n')
    with pytest.raises(RecipeError, match="epoch"):
        load_recipe(str(path))


def test_too_little_data_for_one_batch_is_said(recipe, digits, tmp_path):
    few = replace(digits, train=digits.train.take(np.arange(10)))
    with pytest.raises(TrainingError, match="fewer"):
        train(recipe, few, folder=tmp_path, device="cpu", progress=False)


def test_the_faster_precision_of_the_trial_is_taken():
    import time

    for slow, fast in (("bf16", "fp32"), ("fp32", "bf16")):
        naps = {slow: 0.02, fast: 0.001}
        assert choose_precision(lambda p, naps=naps: time.sleep(naps[p]), torch.device("cpu")) == fast


def test_crop_and_flip_only_move_pixels_and_fill():
    batch = torch.arange(1, 2 * 32 * 32 * 3 + 1, dtype=torch.int32).reshape(2, 32, 32, 3)
    moved = crop_flip(batch, torch.tensor([0.0]), torch.Generator().manual_seed(0))
    assert moved.shape == batch.shape
    for before, after in zip(batch, moved, strict=True):
        assert set(after.unique().tolist()) - {0} <= set(before.unique().tolist())


def test_distillation_from_an_equal_teacher_costs_nothing():
    logits = torch.randn(5, 10)
    assert float(distillation_loss(logits, logits, 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_class_of_twice_the_weight_counts_twice():
    output = HybridOutput(exits=[torch.zeros(2, 2)], final=torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    plain = Losses(exit_weights=(0.0,))
    first, second = (float(-torch.log_softmax(output.final[0], 0)[k]) for k in (0, 1))
    labels = torch.tensor([0, 1])
    assert float(joint_loss(output, labels, plain)) == pytest.approx((first + second) / 2)
    weighted = plain.model_copy(update={"class_weights": (1.0, 2.0)})
    assert float(joint_loss(output, labels, weighted)) == pytest.approx((first + 2 * second) / 3)
