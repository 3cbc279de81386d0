"""`evaluate`: a bundle over a whole split, edge engine and cloud half together."""

import base64
import dataclasses
import os

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data, energy
from hybrid_model.bundle import Layer
from hybrid_model.bundle.manifest import Twin
from hybrid_model.calibration import OperatingPoint, calibrate
from hybrid_model.calibration.guard import without_guards
from hybrid_model.energy import mean_energy_j, path_energy_j, twin_energy_j
from hybrid_model.evaluation import (
    Answers,
    EvaluationError,
    GuardFigures,
    energy_reduction,
    evaluate,
    exit_error_rate,
)
from hybrid_model.intervals import paired_interval, wilson_interval
from hybrid_model.runtime import EdgeEngine


def _shipped(name):
    return bundle_file.load(bundle_file.resolve(name), cloud=True)


def _with(bundle, **changes):
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update=changes))


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def bundle():
    return _shipped("digits")


def _answers(labels, *, left, edge_wrong=(), cloud_wrong=()):
    """One exit at which the first `left` samples leave; all are right but those that are named."""
    edge, cloud = labels.astype(np.int32), labels.copy()
    edge[list(edge_wrong)] = (edge[list(edge_wrong)] + 1) % 10
    cloud[list(cloud_wrong)] = (cloud[list(cloud_wrong)] + 1) % 10
    index = np.where(np.arange(len(labels)) < left, 0, -1).astype(np.int8)
    sure = np.ones(len(index), dtype=np.float32)
    return Answers(index, edge[:, None], cloud, sure, sure, None, feature_bytes=32, kernel="none")


def test_the_shipped_digits_keep_their_figures(bundle, digits):
    result = evaluate(bundle, digits)
    assert result.accuracy.hybrid >= 0.96
    assert 0.3 <= result.edge_share <= 0.95
    assert result.edge_share == pytest.approx(sum(result.exit_share))
    assert result.energy_reduction_mac > 5
    assert result.feature_bytes_mean == 32


def test_what_guards_hold_back_is_told_and_nothing_where_there_are_none(bundle, digits):
    guarded = calibrate(bundle, digits, OperatingPoint(edge_share=0.75, guard_share_lost=0.05))
    engine, told = EdgeEngine(guarded), evaluate(guarded, digits).guard
    with_guard, without = (engine.infer(digits.test.x, guard=guard) for guard in (True, False))
    assert told.clean_share_lost == (without.exit_index >= 0).mean() - (with_guard.exit_index >= 0).mean() > 0
    assert told.in_domain_share == with_guard.in_domain.mean()
    assert evaluate(without_guards(bundle), digits).guard == GuardFigures(None, None)


@pytest.mark.data
def test_the_shipped_har_keeps_its_figures():
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs UCI HAR: point $DEWPOINT_DATA at a folder that has it")
    result = evaluate(_shipped("har"), data.load("har", progress=False))
    assert result.accuracy.hybrid >= 0.94
    assert 0.85 <= result.edge_share <= 0.95
    assert result.energy_reduction_mac >= 10.0
    assert result.hard_sample_bytes["float32"] == 2 * result.hard_sample_bytes["int16"]


@pytest.mark.data
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "accuracy", "over_twin", "samples_strict"),
    [("cifar10", 0.89, -0.01, 9_979), ("cifar100", 0.685, -0.005, None)],
)
def test_the_shipped_cifar_networks_keep_their_figures(name, accuracy, over_twin, samples_strict):
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip(f"needs {name}: point $DEWPOINT_DATA at a folder that has it")
    result = evaluate(_shipped(name), data.load(name, progress=False))
    assert result.accuracy.hybrid >= accuracy
    assert result.accuracy_over_twin >= over_twin
    assert result.samples_strict == samples_strict
    assert result.edge_share >= 0.65
    assert result.energy_reduction_mac >= 5.5
    assert result.feature_bytes_mean <= 512


def test_energy_is_the_mean_over_the_paths_taken():
    layers = _shipped("digits").manifest.layers
    everything_up = mean_energy_j(layers, [0.0])
    everything_leaves = mean_energy_j(layers, [1.0])
    assert everything_up == path_energy_j(layers, "cloud")
    assert everything_leaves == path_energy_j(layers, 0)
    assert mean_energy_j(layers, [0.5]) == pytest.approx((everything_up + everything_leaves) / 2)
    assert twin_energy_j(layers) > everything_up


def test_a_data_set_of_other_classes_is_refused(digits):
    with pytest.raises(EvaluationError, match="digits"):
        evaluate(_shipped("har"), digits)


def test_accuracies_count_who_answers(bundle, digits):
    # 300 leave, 59 rise. Wrong on the edge: 0, 1 (they leave) and 358 (it rises); in the cloud: 2 (leaves), 357, 358.
    said = _answers(digits.test.y, left=300, edge_wrong=(0, 1, 358), cloud_wrong=(2, 357, 358))
    told = evaluate(bundle, digits, said=said)
    assert told.accuracy.hybrid == pytest.approx(355 / 359)
    assert told.accuracy.edge == told.accuracy.cloud == pytest.approx(356 / 359)
    assert told.edge_share == pytest.approx(300 / 359)
    assert told.accuracy_interval["hybrid"] == wilson_interval(355 / 359, 359)
    assert told.accuracy_strict is None
    assert told.samples_strict is None


def test_strict_accuracy_leaves_out_the_samples_that_are_not_the_publishers(bundle, digits):
    marked = dataclasses.replace(digits, approx_test=np.array([0, 5]))
    told = evaluate(bundle, marked, said=_answers(digits.test.y, left=359, edge_wrong=(0, 1)))
    assert told.accuracy.hybrid == pytest.approx(357 / 359)
    assert told.accuracy_strict == pytest.approx(356 / 357)  # 0 and 5 are left out, 1 is still wrong
    assert told.samples_strict == 357
    assert told.accuracy_interval["strict"] == wilson_interval(356 / 357, 357)


def test_the_twins_accuracy_is_told_only_beside_the_samples_it_was_measured_on(bundle, digits):
    said = _answers(digits.test.y, left=10)
    fingerprint = digits.fingerprint("test")
    same = _with(bundle, twin=Twin(accuracy=0.98, fingerprint=fingerprint))
    assert evaluate(same, digits, said=said).accuracy.full_precision_twin == 0.98
    for twin in (None, Twin(accuracy=0.98), Twin(accuracy=0.98, fingerprint="0" * 16)):
        told = evaluate(_with(bundle, twin=twin), digits, said=said)
        assert told.accuracy.full_precision_twin is None
        assert told.accuracy_interval["full_precision_twin"] is None


def test_errors_at_exits_are_those_of_the_samples_that_leave_there():
    labels = np.zeros(6, dtype=np.int64)
    classes = np.array([[0, 0], [1, 0], [0, 1], [0, 0], [1, 0], [1, 1]], dtype=np.int32)
    sure = np.ones(6, dtype=np.float32)
    said = Answers(np.array([0, 0, 1, 1, 1, -1], dtype=np.int8), classes, labels, sure, sure, None, 1, "none")
    assert exit_error_rate(said, said.exit_index, labels) == pytest.approx([1 / 2, 1 / 3])
    assert exit_error_rate(said, np.full(6, -1), labels) == [None, None]


@pytest.mark.parametrize("holds", [True, False])
def test_a_bound_is_told_only_where_the_working_point_passed(bundle, digits, holds):
    told = bundle.manifest.calibration
    walked = told.model_copy(update={"start": 5, "passed": 10, "point": 10 if holds else 11})
    moved = _with(bundle, calibration=walked)
    found = evaluate(moved, digits, said=_answers(digits.test.y, left=100, edge_wrong=(0,))).exit_error_bound
    assert found.observed == pytest.approx(1 / 100)
    assert (found.alpha, found.delta) == ((told.alpha, told.delta) if holds else (None, None))


def test_a_bundle_that_was_never_calibrated_promises_nothing(bundle, digits):
    found = evaluate(_with(bundle, calibration=None), digits, said=_answers(digits.test.y, left=0)).exit_error_bound
    assert dataclasses.astuple(found) == (None, None, None)


def test_bytes_are_those_of_the_samples_that_rise(bundle, digits):
    told = evaluate(bundle, digits, said=_answers(digits.test.y, left=350))
    assert told.hard_sample_bytes["raw"] == 64
    assert set(told.hard_sample_bytes) == {"png", "jpeg_75", "jpeg_95", "raw"}
    assert evaluate(bundle, digits, said=_answers(digits.test.y, left=359)).hard_sample_bytes is None


def _layer(stage, role, bits):
    return Layer(
        name="edge.0.conv", stage=stage, role=role, kind="conv", macs=1000, params=100, inputs=200, outputs=300,
        weight_bits=bits, activation_bits=bits,
    )  # fmt: skip


def test_reductions_stand_against_the_cloud_and_against_the_sensor(bundle):
    # As worked in test_energy_full: 94,600 pJ a layer at 32 bits, 17,487.5 pJ at one. The cut sends 32 bytes by Wi-Fi,
    # 32 x 8 x 283.17 nJ = 72,491,520 pJ; a whole sample of 64 bytes costs 144,983,040 pJ.
    layers = (_layer(0, "backbone", 1), _layer(0, "exit", 32), _layer(1, "cut", 32), _layer("cloud", "backbone", 32))
    manifest = bundle.manifest.model_copy(update={"layers": layers})
    leaves = 17_487.5 + 94_600
    spent = 0.75 * leaves + 0.25 * (leaves + 2 * 94_600 + 72_491_520)
    found = energy_reduction(manifest, [0.75], dataset_name="digits", sample_bytes=64)
    assert found.full == pytest.approx((2 * 94_600 + 144_983_040) / spent)
    assert found.full_at_sensor == pytest.approx(2 * 94_600 / spent)
    # MACs alone: 143.75 pJ at one bit, 4600 pJ at 32.
    assert found.mac == pytest.approx(2 * 4600 / (143.75 + 4600 + 0.25 * 2 * 4600))
    assert found.mac_standard is None
    assert found.full_standard is None
    # ResNet-32: 317.86 uJ of MACs, 650.9253 uJ with memory.
    standard = energy_reduction(manifest, [0.75], dataset_name="cifar10", sample_bytes=64)
    assert standard.mac_standard == pytest.approx(317.86e6 / (143.75 + 4600 + 0.25 * 2 * 4600))
    assert standard.full_standard == pytest.approx((650.9253e6 + 144_983_040) / spent)
    assert standard.full_standard_at_sensor == pytest.approx(650.9253e6 / spent)


def test_the_radio_can_be_another(bundle):
    layers = (_layer(0, "backbone", 1), _layer("cloud", "backbone", 32))
    manifest = bundle.manifest.model_copy(update={"layers": layers})
    by_lte = energy_reduction(
        manifest, [0.5], dataset_name="digits", sample_bytes=64, view=energy.full_view(energy.LTE)
    )
    spent = 17_487.5 + 0.5 * (94_600 + 32 * 8 * 438_390)
    assert by_lte.full == pytest.approx((2 * 94_600 + 64 * 8 * 438_390) / spent)


def test_an_older_file_has_no_full_view(bundle, digits):
    old = tuple(layer.model_copy(update={"inputs": None, "outputs": None}) for layer in bundle.manifest.layers)
    told = evaluate(_with(bundle, layers=old), digits, said=_answers(digits.test.y, left=300))
    assert told.energy_reduction_mac > 1
    assert told.energy_reduction_full is None
    assert told.energy_reduction_full_at_sensor is None


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    [
        # As published (Newcombe 1998, table I): 81 of 263, 0 of 10; 10 of 10 mirrors it.
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_the_interval_is_wilsons(right, samples, low, high):
    assert wilson_interval(right / samples, samples) == pytest.approx((low, high), abs=5e-5)


def test_no_samples_have_no_interval():
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0.5, 0)


def test_the_hybrid_is_compared_with_its_twin_sample_by_sample(bundle, digits):
    said = _answers(digits.test.y, left=200, edge_wrong=(3, 50), cloud_wrong=(250,))
    right = said.hybrid_class == digits.test.y
    twin_right = right.copy()
    twin_right[np.flatnonzero(right)[:2]] = False
    twin_right[np.flatnonzero(~right)[:1]] = True
    twin = Twin(
        accuracy=float(twin_right.mean()),
        fingerprint=digits.fingerprint("test"),
        right=base64.b64encode(np.packbits(twin_right).tobytes()).decode(),
    )
    told = evaluate(_with(bundle, twin=twin), digits, said=said)
    assert told.accuracy_over_twin == pytest.approx(1 / len(right))
    low, high = told.accuracy_over_twin_interval
    # d is +1 twice and -1 once among 359: mean 1/359, variance 3/359 - (1/359)^2
    reach = 1.959963984540054 * ((3 / 359 - (1 / 359) ** 2) / 359) ** 0.5
    assert (low, high) == pytest.approx((1 / 359 - reach, 1 / 359 + reach))


def test_without_the_twins_own_answers_no_paired_difference_is_told(bundle, digits):
    said = _answers(digits.test.y, left=200)
    twin = Twin(accuracy=0.98, fingerprint=digits.fingerprint("test"))
    told = evaluate(_with(bundle, twin=twin), digits, said=said)
    assert told.accuracy_over_twin is None
    assert told.accuracy_over_twin_interval is None


def test_pairs_need_the_same_samples():
    with pytest.raises(ValueError, match="same samples"):
        paired_interval(np.ones(3, dtype=bool), np.ones(2, dtype=bool))
