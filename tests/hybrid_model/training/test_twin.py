"""The full-precision twin: baseline, start and teacher of a hybrid run."""

import base64

import numpy as np
import pytest
import torch

from hybrid_model import data
from hybrid_model.export.bundle import twin_figures
from hybrid_model.nn import HybridNetwork
from hybrid_model.training import load_recipe, train
from hybrid_model.training.losses import final_loss
from hybrid_model.training.recipe import Losses
from hybrid_model.training.trainer import start_from


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture
def recipe():
    shipped = load_recipe("digits")
    return shipped.model_copy(update={"schedule": shipped.schedule.model_copy(update={"epochs": 3})})


def test_a_twin_is_the_same_layers_at_32_bits_without_a_quantized_cut(recipe):
    twin = HybridNetwork(recipe.twin().build())
    hybrid = HybridNetwork(recipe.build())
    shapes = {k: v.shape for k, v in hybrid.state_dict().items() if k.endswith("weight")}
    assert {k: v.shape for k, v in twin.state_dict().items() if k.endswith("weight")} == shapes
    assert isinstance(twin.cut.quant, torch.nn.Identity)
    assert {unit.conv.weight_bits for unit in twin.edge} == {32}


def test_a_twin_is_trained_without_exits_by_the_same_schedule_and_seed(recipe):
    twin = recipe.twin()
    assert twin.schedule == recipe.schedule
    assert twin.seed == recipe.seed
    assert set(twin.losses.exit_weights) == {0.0}
    assert not twin.needs_twin


def test_only_the_run_that_starts_from_its_twin_has_a_peak_of_its_own_and_binarizes_late(recipe):
    schedule = recipe.schedule.model_copy(update={"lr_from_twin": 0.002, "binarize_weights_after": 0.5})
    hybrid = recipe.model_copy(update={"start": "twin", "schedule": schedule})
    assert hybrid.peak_lr == 0.002
    assert hybrid.twin().peak_lr == recipe.schedule.lr
    assert hybrid.twin().fingerprint() == recipe.twin().fingerprint(), "a trained twin is not orphaned"


def test_a_baseline_is_trained_first_and_judged_on_the_test_split(recipe, digits, tmp_path):
    run = train(recipe, digits, folder=tmp_path, device="cpu", progress=False, baselines=["twin"])
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["digits-s0.pt", "digits-twin-s0.pt"]
    told = twin_figures(run.twin, digits)
    assert told is not None
    with torch.no_grad():
        network = run.twin.network
        logits = network(network.normalize(torch.from_numpy(digits.test.x))).final
    assert told["accuracy"] == pytest.approx(float(np.mean(logits.argmax(1).numpy() == digits.test.y)), abs=0.003)
    assert told["fingerprint"] == digits.fingerprint("test")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(told["right"]), dtype=np.uint8))[: len(digits.test)]
    assert bits.mean() == pytest.approx(told["accuracy"])


def test_a_run_without_a_baseline_has_no_twin(recipe, digits, tmp_path):
    run = train(recipe, digits, folder=tmp_path, device="cpu", progress=False)
    assert run.twin is None
    assert twin_figures(run.twin, digits) is None


def test_a_hybrid_that_starts_from_its_twin_has_its_weights(recipe):
    twin, hybrid = HybridNetwork(recipe.twin().build()), HybridNetwork(recipe.build())
    start_from(hybrid, twin)
    ours, theirs = hybrid.state_dict(), twin.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_hybrid_can_be_started_from_and_taught_by_its_twin(recipe, digits, tmp_path):
    losses = recipe.losses.model_copy(update={"teacher": "twin", "teacher_share": 0.7})
    taught = recipe.model_copy(update={"losses": losses, "start": "twin"})
    run = train(taught, digits, folder=tmp_path, device="cpu", progress=False)
    assert run.twin is not None
    assert run.history[-1]["tuning_final"] > 0.7
    stored = torch.load(tmp_path / "digits-twin-s0.pt", weights_only=True)["network"]
    assert all(torch.equal(tensor, stored[name]) for name, tensor in run.twin.network.state_dict().items())


def test_the_teachers_share_replaces_that_share_of_the_labels_loss(recipe, digits):
    network = HybridNetwork(recipe.build())
    with torch.no_grad():
        output = network(network.normalize(torch.from_numpy(digits.train.x[:8])))
    labels = torch.from_numpy(digits.train.y[:8])
    plain = final_loss(output, labels, Losses())
    itself = final_loss(output, labels, Losses(teacher="twin", teacher_share=0.25), output.final)
    assert float(itself) == pytest.approx(0.75 * float(plain), rel=1e-5)
