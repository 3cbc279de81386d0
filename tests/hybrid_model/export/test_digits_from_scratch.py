"""The shipped digits recipe, trained from nothing as `dewpoint train digits` does, reaches its figures."""

import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.evaluation import evaluate
from hybrid_model.export import export_bundle
from hybrid_model.training import load_recipe, train

pytestmark = [pytest.mark.early, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    digits = data.load("digits", progress=False)
    run = train(load_recipe("digits"), digits, folder=folder, device="cpu", progress=False, baselines=["twin"])
    export_bundle(run, digits, folder / "digits.dew")
    return evaluate(bundle_file.load(folder / "digits.dew", cloud=True), digits)


def test_most_samples_leave_on_the_edge(found):
    assert found.edge_share >= 0.65


def test_the_hybrid_is_as_accurate_as_its_full_precision_twin_within_two_points(found):
    assert found.accuracy.hybrid >= 0.96
    assert found.accuracy.full_precision_twin is not None
    assert found.accuracy.hybrid >= found.accuracy.full_precision_twin - 0.02


def test_it_takes_an_eighth_of_its_twins_energy_or_less(found):
    assert found.energy_reduction_mac >= 8.0
    assert found.energy_reduction_full is not None
    assert found.energy_reduction_full > 1.0


def test_a_hard_sample_travels_as_32_bytes(found):
    assert found.feature_bytes_mean == 32
