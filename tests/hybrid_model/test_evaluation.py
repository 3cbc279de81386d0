"""`evaluate`: a bundle over a whole split, edge engine and cloud half together."""

import os

import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.energy import mean_energy_j, path_energy_j, twin_energy_j
from hybrid_model.evaluation import EvaluationError, evaluate


def _shipped(name):
    return bundle_file.load(bundle_file.resolve(name), cloud=True)


def test_the_shipped_digits_keep_their_figures():
    result = evaluate(_shipped("digits"), data.load("digits", progress=False))
    assert result.accuracy.hybrid >= 0.96
    assert 0.3 <= result.edge_share <= 0.95
    assert result.edge_share == pytest.approx(sum(result.exit_share))
    assert result.energy_reduction_mac > 5
    assert result.feature_bytes_mean == 32


@pytest.mark.data
def test_the_shipped_har_keeps_its_figures():
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs UCI HAR: point $DEWPOINT_DATA at a folder that has it")
    result = evaluate(_shipped("har"), data.load("har", progress=False))
    assert result.accuracy.hybrid >= 0.88
    assert 0.3 <= result.edge_share <= 0.95


def test_energy_is_the_mean_over_the_paths_taken():
    layers = _shipped("digits").manifest.layers
    everything_up = mean_energy_j(layers, [0.0])
    everything_leaves = mean_energy_j(layers, [1.0])
    assert everything_up == path_energy_j(layers, "cloud")
    assert everything_leaves == path_energy_j(layers, 0)
    assert mean_energy_j(layers, [0.5]) == pytest.approx((everything_up + everything_leaves) / 2)
    assert twin_energy_j(layers) > everything_up


def test_a_data_set_of_other_classes_is_refused():
    with pytest.raises(EvaluationError, match="digits"):
        evaluate(_shipped("har"), data.load("digits", progress=False))
