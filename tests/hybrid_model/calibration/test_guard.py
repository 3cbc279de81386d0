"""Guards fitted to training samples, on the shipped digits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data, energy
from hybrid_model.bundle import TensorType, check_graph
from hybrid_model.bundle.guard import greatest_sum
from hybrid_model.calibration import CalibrationError, OperatingPoint, calibrate, operating_point, wish_of
from hybrid_model.calibration.guard import fit_guards, fitted_arrays, guard_limits, guard_source, without_guards
from hybrid_model.runtime import EdgeEngine
from tests.hybrid_model.small_bundle import samples, small_network


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def bundle():
    return without_guards(bundle_file.load(bundle_file.resolve("digits"), cloud=True))


@pytest.fixture(scope="module")
def fitted(bundle, digits):
    return fit_guards(bundle, digits.train.x)


@pytest.fixture(scope="module")
def found(bundle, digits):
    return calibrate(bundle, digits, OperatingPoint(edge_share=0.75, guard_share_lost=0.05))


def test_distances_of_training_samples_are_those_of_as_many_directions_of_unit_spread(fitted, digits):
    """Mahalanobis: the mean squared distance is the number of directions, less what shrinkage takes."""
    distances = EdgeEngine(fitted).exit_readings(digits.train.x).distances[:, 0]
    directions = len(fitted.edge[fitted.manifest.exits[0].guard.scale])
    assert directions == 32
    assert 0.6 * directions < distances.mean() <= 1.001 * directions


def test_what_is_unlike_the_training_samples_is_far(fitted, digits):
    x = digits.test.x
    noise = np.random.default_rng(0).integers(0, int(x.max()) + 1, x.shape, dtype=x.dtype)
    engine = EdgeEngine(fitted)
    known, unknown = (np.median(engine.exit_readings(each).distances) for each in (x, noise))
    assert unknown > 3 * known


def test_a_guard_is_fitted_without_labels_the_same_way_each_time(fitted, bundle, digits):
    again = fit_guards(fitted, digits.train.x)
    assert again.manifest == fitted.manifest
    assert all(np.array_equal(again.edge[name], array) for name, array in fitted.edge.items())
    assert without_guards(again).manifest == bundle.manifest
    assert without_guards(again).edge.keys() == bundle.edge.keys()


def test_limits_hold_back_the_share_that_was_asked_for():
    distances = np.stack([np.arange(200.0), 7 * np.arange(200.0)], axis=1).astype(np.float32)
    taken = np.where(np.arange(200) < 100, 0, -1)
    assert guard_limits(distances, taken, 0.05).tolist() == [94.5, 7 * 189.5], "none leaves at the second: all count"
    assert guard_limits(distances, taken, 0.0).tolist() == [99.0, 7 * 199.0]


def test_shares_of_a_calibrated_path_are_of_what_really_leaves(found, digits):
    told, engine = found.manifest.calibration, EdgeEngine(found)
    assert told.guard_share_lost == 0.05
    for one in told.path[::5]:
        said = engine.infer(digits.tuning.x, thresholds=one.thresholds)
        assert one.edge_share == (said.exit_index >= 0).mean()
    assert told.path[told.point].edge_share == pytest.approx(0.75, abs=0.01)
    held_back = engine.infer(digits.tuning.x, guard=False).exit_index >= 0
    lost = held_back.mean() - told.path[told.point].edge_share
    assert 0 < lost < 0.15


def test_the_loosest_point_lets_all_leave_whom_the_guard_takes_in(found, digits):
    read = EdgeEngine(found).exit_readings(digits.tuning.x)
    assert found.manifest.calibration.path[-1].edge_share == read.in_domain[:, 0].mean()
    assert not read.in_domain.all()


def test_the_histogram_is_of_all_samples_whatever_the_guard_says(found, digits):
    (histogram,) = found.manifest.calibration.histogram
    assert sum(histogram.counts) == len(digits.calibration)


def test_no_label_moves_a_guard_or_its_limit(bundle, digits, found):
    other = {
        name: dataclasses.replace(split, y=(split.y + 1) % 10)
        for name, split in (("train", digits.train), ("calibration", digits.calibration))
    }
    spoiled = calibrate(
        bundle, dataclasses.replace(digits, **other), OperatingPoint(edge_share=0.75, guard_share_lost=0.05)
    )
    assert spoiled.manifest.exits == found.manifest.exits
    assert all(np.array_equal(spoiled.edge[name], array) for name, array in found.edge.items())


def test_a_bundle_calibrated_again_is_guarded_as_before_and_an_older_one_by_default(found):
    assert wish_of(found.manifest).guard_share_lost == 0.05
    older = found.manifest.calibration.model_copy(update={"guard_share_lost": None})
    assert wish_of(found.manifest.model_copy(update={"calibration": older})).guard_share_lost == 0.015
    with pytest.raises(CalibrationError, match="guard_share_lost = 1"):
        operating_point(OperatingPoint(), guard_share_lost=1.0)


def test_a_share_of_0_takes_guards_away_and_the_network_stays_the_same(found, digits, tmp_path):
    bare = calibrate(found, digits, operating_point(wish_of(found.manifest), guard_share_lost=0.0))
    assert [one.guard for one in bare.manifest.exits] == [None]
    assert not any(name.startswith("guard.") for name in bare.edge)
    assert not any(layer.kind == "guard" for layer in bare.manifest.layers)
    ids = [bundle_file.save(tmp_path / "b.dew", each.manifest, each.edge, each.cloud) for each in (found, bare)]
    assert ids[0] == ids[1] == bundle_file.load(bundle_file.resolve("digits")).manifest.network_id


def test_a_guards_layers_cost_what_its_shapes_say(fitted, bundle):
    own = [layer for layer in fitted.manifest.layers if layer.kind == "guard"]
    assert [(layer.name, layer.stage, layer.role, layer.macs, layer.params) for layer in own] == [
        ("exits.0.guard.sums", 0, "exit", 4 * 4 * 32, 0),
        ("exits.0.guard.place", 0, "exit", 32 * 32, 32 * 32),
        ("exits.0.guard.distance", 0, "exit", 32, 32),
    ]
    more = energy.path_energy_j(fitted.manifest.layers, 0) - energy.path_energy_j(bundle.manifest.layers, 0)
    assert more == pytest.approx(sum(energy.layer_energy_j(layer) for layer in own))
    assert energy.has_traffic(fitted.manifest.layers)


@pytest.mark.parametrize(
    ("name", "source"), [("cifar10", "t23"), ("cifar100", "t18"), ("har", "t26"), ("digits", "t4")]
)
def test_a_guard_looks_at_what_the_last_unit_takes_in(name, source):
    """In cifar100 not at t21, which only the second convolution of the last unit reads."""
    shipped = bundle_file.load(bundle_file.resolve(name))
    types = check_graph(shipped.manifest, shipped.edge)
    assert guard_source(shipped.manifest, types, 0) == source


def small_bundle(tmp_path, change=lambda manifest, edge: None):
    manifest, edge, cloud = small_network(guard_limit=None)
    change(manifest, edge)
    bundle_file.save(tmp_path / "small.dew", manifest, edge, cloud)
    return bundle_file.load(tmp_path / "small.dew", cloud=True)


def test_each_of_two_exits_has_a_guard_of_its_own(tmp_path):
    small, x = small_bundle(tmp_path), samples(300)
    fitted = fit_guards(small, x)
    kinds = check_graph(fitted.manifest, fitted.edge)
    assert [kinds[one.guard.source].kind for one in fitted.manifest.exits] == ["bits", "levels"]
    means = EdgeEngine(fitted).exit_readings(x).distances.mean(axis=0)
    assert (means > 5).all()


def test_an_exit_whose_logits_are_never_finite_gets_no_guard(tmp_path):
    def spoil(manifest, edge):
        edge[next(op for op in manifest["edge_graph"] if op["op"] == "linear")["params"]["weight"]][:] = 3e38

    assert [one.guard is None for one in fit_guards(small_bundle(tmp_path, spoil), samples(50)).manifest.exits] == [
        True,
        False,
    ]


@pytest.mark.parametrize(("side", "greatest_weight"), [(8, 127), (600, 40), (6000, None)])
def test_weights_are_coarser_where_maps_are_so_large_that_sums_would_not_fit(side, greatest_weight):
    source = TensorType("levels", (side, side, 40), 4)
    rng = np.random.default_rng(0)
    sums = rng.integers(0, min(greatest_sum(source), 2**31 - 1), (100, 40)).astype(np.int32)
    arrays = fitted_arrays(sums, rng.normal(size=(100, 3)).astype(np.float32), source)
    if greatest_weight is None:
        assert arrays is None
        return
    weight = np.abs(arrays["weight"].astype(np.int64))
    assert weight.max() == greatest_weight or 1 < weight.max() < greatest_weight
    assert weight.sum(axis=0).max() * greatest_sum(source) < 2**31
