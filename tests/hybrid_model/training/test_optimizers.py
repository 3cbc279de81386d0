"""Muon, and which parameters go to which optimizer."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model import data
from hybrid_model.nn import HybridNetwork
from hybrid_model.training import load_recipe
from hybrid_model.training.optimizers import Muon, build_optimizers, orthogonalized


@settings(max_examples=25)
@given(rows=st.integers(2, 40), columns=st.integers(2, 40), seed=st.integers(0, 1000))
def test_orthogonalizing_brings_the_large_singular_values_near_one(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalized(matrix).float())
    assert float(after.max()) < 1.4
    significant = int((before > 0.3 * before.max()).sum())
    assert float(after[:significant].min()) > 0.4


def test_orthogonalizing_keeps_the_singular_vectors():
    left, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    right, _ = torch.linalg.qr(torch.randn(9, 6, generator=torch.Generator().manual_seed(2)))
    matrix = left @ torch.diag(torch.linspace(1.0, 0.5, 6)) @ right.T
    core = left.T @ orthogonalized(matrix).float() @ right
    assert float((core - torch.diag(core.diagonal())).abs().max()) < 0.05


def test_weights_are_brought_back_to_their_norm_before_the_update():
    weight = torch.nn.Parameter(7.0 * torch.randn(4, 3, 3, 3))
    weight.grad = torch.randn_like(weight)
    Muon([weight], lr=1e-6).step()
    assert abs(float(weight.detach().norm()) - 2.0) < 1e-3


def test_muon_takes_the_convolutions_and_adamw_everything_else():
    recipe = load_recipe("digits")
    schedule = recipe.schedule.model_copy(update={"optimizer": "muon", "lr": 0.05, "adamw_lr": 0.002})
    network = HybridNetwork(recipe.build())
    muon, adamw = build_optimizers(network, schedule)
    held = [p for group in muon.param_groups for p in group["params"]]
    others = [p for group in adamw.param_groups for p in group["params"]]
    assert all(p.dim() == 4 for p in held)
    assert not any(p.dim() == 4 for p in others)
    assert len(held) + len(others) == len(list(network.parameters()))
    assert [group["peak_lr"] for group in muon.param_groups] == [0.05]
    assert {group["peak_lr"] for group in adamw.param_groups} == {0.002}


def test_no_weight_decay_falls_on_norms_thresholds_and_slopes():
    recipe = load_recipe("digits")
    network = HybridNetwork(recipe.build())
    (adamw,) = build_optimizers(network, recipe.schedule)
    for group in adamw.param_groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.dim() > 1)


def test_a_run_by_muon_learns_and_resumes(tmp_path):
    digits = data.load("digits", progress=False)
    recipe = load_recipe("digits")
    for epochs in (3, 5):
        schedule = recipe.schedule.model_copy(update={"epochs": 5, "optimizer": "muon", "lr": 0.06})
        run = _epochs(recipe.model_copy(update={"schedule": schedule}), digits, tmp_path, epochs)
    assert [line["epoch"] for line in run.history] == [1, 2, 3, 4, 5]
    assert run.history[-1]["tuning_final"] > 0.85


def _epochs(recipe, dataset, folder, count):
    from hybrid_model.training.trainer import Trainer

    trainer = Trainer(recipe, dataset, folder, torch.device("cpu"))
    trainer.precision = "fp32"
    while trainer.epoch < count:
        trainer.run_epoch(lambda text: None)
    return trainer
