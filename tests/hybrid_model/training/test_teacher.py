"""A teacher of its own: what it is, that recipes share it, and what it cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hybrid_model import data
from hybrid_model.export import export_bundle
from hybrid_model.nn.whitened import WhitenedNet, WhitenedSpec
from hybrid_model.training import Recipe, RecipeError, TrainingError, load_recipe, train


def pictures(count: int = 64, side: int = 32) -> Tensor:
    """Smooth random pictures: neighbouring pixels agree, as in photographs."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (255 * fine).permute(0, 2, 3, 1).to(torch.uint8)


def net(**changed) -> WhitenedNet:
    told = {"zero_point": (125.0,) * 3, "scale": (1 / 64,) * 3, "classes": 10, "widths": (8, 16, 16)} | changed
    return WhitenedNet(WhitenedSpec(**told))


def test_the_first_layer_makes_neighbouring_pixels_independent():
    network = net()
    batch = pictures()
    network.whiten(batch)
    outputs = network.whitening(network.normalize(batch)).permute(0, 2, 3, 1).reshape(-1, 24)[:, :12].double()
    gram = (outputs.T @ outputs / len(outputs)).detach()
    strong = gram.diagonal() > 0.5
    assert strong.sum() >= 3
    assert torch.allclose(gram - torch.diag(gram.diagonal()), torch.zeros_like(gram), atol=1e-2)
    assert (gram.diagonal() < 1.001).all(), "what hardly varies is not blown up"


def test_both_signs_of_every_direction_are_there():
    network = net()
    network.whiten(pictures())
    assert torch.equal(network.whitening.weight[:12], -network.whitening.weight[12:])


@pytest.mark.parametrize("convolutions", [2, 3])
def test_it_answers_with_logits_and_has_no_exits(convolutions):
    network = net(convolutions=convolutions).eval()
    out = network(network.normalize(pictures(5)))
    assert out.final.shape == (5, 10)
    assert out.exits == []


@pytest.fixture
def few():
    """Forty pictures of each part, in two classes that anything can tell apart."""
    x = pictures(160)
    y = np.arange(160) % 2
    x[y == 1] = 255 - x[y == 1] // 4
    known = data.load("digits", progress=False)
    parts = {}
    for number, name in enumerate(("train", "tuning", "calibration", "test")):
        rows = slice(40 * number, 40 * number + 40)
        parts[name] = data.Split(x=x[rows].numpy(), y=y[rows].astype(np.int64))
    return replace(known, name="cifar10", classes=("dark", "light"), kind="image", **parts)


@pytest.fixture
def recipes(tmp_path):
    """A teacher and a student of it, as files: (student, teacher)."""
    teacher = tmp_path / "small-teacher.toml"
    teacher.write_text(
        'name = "small-teacher"\ndataset = "cifar10"\nfamily = "whitened"\naugmentation = "reflected_crop"\n'
        "[architecture]\nclasses = 2\nwidths = [8, 16, 16]\n"
        '[schedule]\nepochs = 15\nbatch_size = 10\noptimizer = "muon"\nlr = 0.1\nmomentum = 0.6\n'
        "[losses]\nexit_weights = []\nlabel_smoothing = 0.2\n"
    )
    student = tmp_path / "small.toml"
    student.write_text(
        'name = "small"\ndataset = "cifar10"\nfamily = "wide_edge"\naugmentation = "camera"\n'
        "[architecture]\nclasses = 2\nstem_channels = 16\nedge_widths = [[16, 1]]\ncut_channels = 8\n"
        "cloud_widths = [[16, 2]]\n"
        '[schedule]\nepochs = 2\nbatch_size = 20\noptimizer = "muon"\nlr = 0.05\nmomentum = 0.6\n'
        f'[losses]\nexit_weights = [0.7]\ndistillation = 1.0\nteacher = "{teacher}"\n'
    )
    return load_recipe(str(student)), load_recipe(str(teacher))


def test_a_teacher_is_trained_first_and_shared(few, recipes, tmp_path):
    student, _ = recipes
    run = train(student, few, folder=tmp_path, device="cpu", progress=False)
    assert run.teacher is not None
    assert run.teacher.history[-1]["tuning_final"] > 0.9
    written = (tmp_path / "small-teacher-s0.pt").stat().st_mtime_ns
    other = student.model_copy(update={"name": "another"})
    again = train(other, few, folder=tmp_path, device="cpu", progress=False, baselines=["taught_twin"])
    assert (tmp_path / "small-teacher-s0.pt").stat().st_mtime_ns == written
    assert again.taught_twin is not None
    assert again.taught_twin.recipe.name == "another-taught-twin"


def test_a_student_of_another_teacher_is_another_run(recipes, tmp_path):
    student, teacher = recipes
    before = student.fingerprint()
    path = tmp_path / "small-teacher.toml"
    path.write_text(path.read_text().replace("epochs = 15", "epochs = 5"))
    assert student.fingerprint() != before
    assert teacher.fingerprint() == teacher.fingerprint()


def test_a_teacher_makes_no_bundle(few, recipes, tmp_path):
    _, teacher = recipes
    with pytest.raises(RecipeError, match="no edge"):
        teacher.build()
    run = train(teacher, few, folder=tmp_path, device="cpu", progress=False)
    with pytest.raises(TrainingError, match="no edge"):
        export_bundle(run, few, tmp_path / "teacher.dew")


def test_a_teacher_of_another_data_set_is_refused(few, recipes, tmp_path):
    student, _ = recipes
    losses = student.losses.model_copy(update={"teacher": "cifar100-teacher"})
    with pytest.raises(TrainingError, match="cifar100"):
        train(student.model_copy(update={"losses": losses}), few, folder=tmp_path, device="cpu", progress=False)


def test_without_a_teacher_no_twin_can_be_taught():
    recipe: Recipe = load_recipe("digits")
    with pytest.raises(RecipeError, match="no teacher"):
        recipe.taught_twin()


def test_a_longer_twin_does_not_orphan_the_hybrids_checkpoint():
    recipe = load_recipe("cifar10")
    longer = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"twin_epochs": 7})})
    assert longer.fingerprint() == recipe.fingerprint()
    assert longer.twin().schedule.epochs == 7
    assert longer.twin().fingerprint() != recipe.twin().fingerprint()
