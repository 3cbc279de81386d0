"""Calibration of a bundle, on the shipped digits: what is chosen, tested and kept."""

import dataclasses
import os

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data, exits
from hybrid_model.bundle.calibration import CalibrationSplit, TuningSplit
from hybrid_model.calibration import (
    CalibrationError,
    OperatingPoint,
    calibrate,
    operating_point,
    samples_to_run,
    wish_of,
)
from hybrid_model.calibration.learn_then_test import binomial_p_value
from hybrid_model.calibration.routine import (
    SHARES,
    Predictions,
    calibrate_predictions,
    fit_cloud_temperature,
    fit_temperature,
)
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.exits import softmax
from hybrid_model.runtime import EdgeEngine

DIGITS_CALIBRATION_SAMPLES = 144


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def bundle():
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def found(bundle, digits):
    return calibrate(bundle, digits, OperatingPoint(by="guarantee", alpha=0.06))


def test_the_figures_of_a_point_are_those_of_the_edge_engine_and_the_cloud_half(found, digits):
    told = found.manifest.calibration
    x, y = digits.tuning.x, digits.tuning.y
    said = EdgeEngine(found).infer(x, force_cut=True)
    risen, _ = CloudHalf(found).infer(said.features)
    left = said.exit_index == 0
    assert told.path[told.point].edge_share == left.mean()
    assert told.path[told.point].accuracy == (np.where(left, said.class_index, risen) == y).mean()
    assert told.accuracy_cloud == (risen == y).mean()


def test_a_p_value_counts_the_calibration_samples_that_leave(found, digits):
    told = found.manifest.calibration
    said = EdgeEngine(found).infer(digits.calibration.x)
    left = said.exit_index == 0
    errors = int((said.class_index[left] != digits.calibration.y[left]).sum())
    assert told.path[told.point].p_value == pytest.approx(binomial_p_value(errors, int(left.sum()), 0.06))


def test_a_guarantee_chooses_the_loosest_point_that_passed(found):
    told = found.manifest.calibration
    assert told.start is not None
    assert told.point == told.passed
    assert told.guaranteed
    assert told.chosen_by == {"guarantee": 0.06}
    assert [one.threshold for one in found.manifest.exits] == list(told.path[told.point].thresholds)


def test_the_test_begins_where_enough_samples_leave(found):
    """ln(0.05) / ln(0.94) = 48.4 samples at least, and twice as many to be at ease."""
    told = found.manifest.calibration
    shares = [one.edge_share for one in told.path]
    assert told.calibration.samples == DIGITS_CALIBRATION_SAMPLES
    before, there = shares[told.start - 1], shares[told.start]
    assert before * DIGITS_CALIBRATION_SAMPLES <= 2 * 48.42 < there * DIGITS_CALIBRATION_SAMPLES


def test_a_bundle_calibrated_again_with_the_same_data_is_the_same(found, digits, tmp_path):
    network_id = bundle_file.save(tmp_path / "once.dew", found.manifest, found.edge, found.cloud)
    loaded = bundle_file.load(tmp_path / "once.dew", cloud=True)
    again = calibrate(loaded, digits)
    bundle_file.save(tmp_path / "twice.dew", again.manifest, again.edge, again.cloud)
    assert (tmp_path / "once.dew").read_bytes() == (tmp_path / "twice.dew").read_bytes()
    assert network_id == bundle_file.load(bundle_file.resolve("digits")).manifest.network_id


def test_the_histogram_counts_every_calibration_sample_at_every_exit(found):
    (histogram,) = found.manifest.calibration.histogram
    assert sum(histogram.counts) == DIGITS_CALIBRATION_SAMPLES
    assert histogram.edges[0] == 0.0
    assert histogram.edges[-1] == pytest.approx(np.log(10))
    assert max(histogram.counts) - min(histogram.counts) <= 2, "ten bins of about equal counts"


def test_no_label_of_the_calibration_split_moves_path_start_or_working_point(bundle, digits):
    wish = OperatingPoint(by="edge_share", edge_share=0.75, alpha=0.1)
    others = dataclasses.replace(digits.calibration, y=(digits.calibration.y + 1) % 10)
    honest = calibrate(bundle, digits, wish).manifest
    spoiled = calibrate(bundle, dataclasses.replace(digits, calibration=others), wish).manifest
    assert spoiled.exits == honest.exits
    assert spoiled.calibration.start == honest.calibration.start
    assert [one.thresholds for one in spoiled.calibration.path] == [one.thresholds for one in honest.calibration.path]
    assert honest.calibration.passed is not None
    assert spoiled.calibration.passed is None, "every answer is wrong there: nothing may pass"


def test_other_data_are_refused_with_the_remedy(bundle, digits):
    other = dataclasses.replace(digits, classes=digits.classes[:-1])
    with pytest.raises(CalibrationError, match="name the set it was trained on"):
        calibrate(bundle, other)


def predictions(seed, n, exit_error, classes=4):
    """One exit, surer where it is right; the cloud is right but for every twentieth sample."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    sure = rng.uniform(0.1, 4, n)
    wrong = rng.uniform(size=n) < exit_error * 2 * (1 - sure / 4)
    logits = np.eye(classes)[(labels + wrong) % classes] * sure[:, None]
    cloud = np.where(np.arange(n) % 20 == 0, (labels + 1) % classes, labels)
    return Predictions(logits[:, None], 9.0 * np.eye(classes)[cloud], labels)


def described(tuning, tested, wish):
    splits = (
        TuningSplit(samples=len(tuning.labels), fingerprint="0" * 16),
        CalibrationSplit(samples=len(tested.labels), fingerprint="1" * 16, independent=True),
    )
    return calibrate_predictions(tuning, tested, wish, tuning_split=splits[0], calibration_split=splits[1])


def calibration_of(tuning, tested, wish):
    return described(tuning, tested, wish).calibration


def test_the_final_classifiers_temperature_is_that_of_the_samples_that_rise():
    """The others are easy for it: where they spoke too, it would stay far too sure of the hard ones."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 2000)
    hard = rng.uniform(size=2000) < 0.4
    wrong = hard & (rng.uniform(size=2000) < 0.4)
    edge = np.eye(4)[labels] * np.where(hard, 0.5, 6.0)[:, None]
    cloud = 9.0 * np.eye(4)[(labels + wrong) % 4]
    found = described(*[Predictions(edge[:, None], cloud, labels)] * 2, OperatingPoint(edge_share=0.6))
    confidence = softmax(cloud[hard], found.cloud_temperature).max(axis=1)
    assert confidence.mean() == pytest.approx(1 - wrong[hard].mean(), abs=0.03)
    assert fit_temperature(cloud, labels) < found.cloud_temperature


@pytest.mark.parametrize(("rising", "least"), [(0, 0.999), (5, 0.6), (1000, 0.499)])
def test_a_handful_of_right_answers_makes_the_final_classifier_hardly_surer(rising, least):
    """Likelihood alone would take the least temperature that there is: all answers are right."""
    labels = np.arange(1000) % 4
    right = Predictions(np.zeros((1000, 1, 4)), 2.0 * np.eye(4)[labels], labels)
    found = fit_cloud_temperature(right, np.arange(1000) < rising)
    assert least <= found <= max(1.0, least + 0.01)
    assert fit_temperature(right.cloud_logits, labels) == pytest.approx(0.5)


def test_a_cloud_half_that_is_not_finite_is_refused():
    said = predictions(0, 1000, 0.1)
    broken = dataclasses.replace(said, cloud_logits=np.where(np.arange(4) == 2, np.nan, said.cloud_logits))
    with pytest.raises(CalibrationError, match="the cloud half gives logits that are not finite on the tuning split"):
        described(broken, said, OperatingPoint())


@pytest.mark.parametrize("score", ["entropy", "max_probability", "margin"])
def test_an_edge_share_is_met_on_the_tuning_split(score):
    wish = OperatingPoint(edge_share=0.333, score=score)
    found = calibration_of(predictions(0, 1000, 0.1), predictions(1, 500, 0.1), wish)
    assert found.path[found.point].edge_share == pytest.approx(0.333, abs=0.001)
    assert found.chosen_by == {"edge_share": 0.333}
    assert len(found.path) == len(SHARES) + 2


@pytest.mark.parametrize("budget", [0.0, 0.02, 0.05])
def test_an_accuracy_budget_buys_the_loosest_point_that_it_pays_for(budget):
    wish = OperatingPoint(by="accuracy_budget", accuracy_budget=budget)
    found = calibration_of(predictions(0, 1000, 0.2), predictions(1, 500, 0.2), wish)
    losses = [found.accuracy_cloud - one.accuracy for one in found.path]
    assert losses[found.point] <= budget + 1e-9
    assert all(loss > budget for loss in losses[found.point + 1 :])


def test_a_guarantee_that_cannot_be_given_lets_nobody_leave():
    wish = OperatingPoint(by="guarantee", alpha=0.02)
    found = calibration_of(predictions(0, 1000, 0.5), predictions(1, 1000, 0.5), wish)
    assert found.start is not None
    assert found.passed is None
    assert found.point == 0
    assert found.path[0].edge_share == 0.0
    assert found.path[0].accuracy == found.accuracy_cloud


def two_exits(seed, second_error, n=1000):
    """A first exit that knows every other sample and is unsure of the rest, and a second that knows all alike."""
    first, second = predictions(seed, n, 0.01), predictions(seed, n, second_error)
    unsure = np.arange(n) % 2 == 0
    first.exit_logits[unsure] = 0.01 * np.roll(first.exit_logits[unsure], 1, axis=2)
    return dataclasses.replace(first, exit_logits=np.concatenate([first.exit_logits, second.exit_logits], axis=1))


def test_a_point_passes_only_where_both_of_two_exits_keep_the_error_rate():
    tuning, wish = two_exits(0, 0.01), OperatingPoint(by="guarantee")
    kept = calibration_of(tuning, two_exits(1, 0.01), wish)
    spoiled = calibration_of(tuning, two_exits(1, 0.4), wish)
    assert min(kept.path[kept.point].exit_share) > 0.1
    assert spoiled.start == kept.start
    assert spoiled.passed is None, "the second exit errs more often on the calibration split than on the tuning split"
    assert [len(one.thresholds) for one in kept.path] == [2] * len(kept.path)


def test_too_few_samples_are_not_tested():
    found = calibration_of(predictions(0, 200, 0.01), predictions(1, 50, 0.01), OperatingPoint(alpha=0.05))
    assert found.start is None
    assert found.passed is None
    assert all(one.p_value is None for one in found.path)


def test_temperatures_are_fitted_only_where_wanted():
    for fit in (True, False):
        found = described(predictions(0, 500, 0.1), predictions(1, 500, 0.1), OperatingPoint(fit_temperature=fit))
        assert (found.temperatures == (1.0,)) is not fit
        assert found.calibration.fit_temperature is fit


def test_logits_that_are_not_finite_are_refused():
    broken = predictions(0, 100, 0.1)
    broken.exit_logits[3, 0, 0] = np.nan
    with pytest.raises(CalibrationError, match="not finite on the tuning split"):
        described(broken, predictions(1, 100, 0.1), OperatingPoint())


def test_without_a_wish_it_is_done_as_before_else_as_the_recipe_says(bundle, found):
    assert wish_of(found.manifest) == OperatingPoint(by="guarantee", alpha=0.06)
    fresh = bundle.manifest.model_copy(update={"calibration": None})
    assert wish_of(fresh) == OperatingPoint(fit_temperature=False, edge_share=0.75)
    assert wish_of(fresh.model_copy(update={"provenance": {}})) == OperatingPoint()


def test_a_wish_that_cannot_be_is_refused():
    with pytest.raises(CalibrationError, match="alpha = 0"):
        operating_point(OperatingPoint(), alpha=0.0)


@pytest.mark.data
def test_windows_of_people_are_thinned_and_the_guarantee_is_called_approximate():
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs UCI HAR: point $DEWPOINT_DATA at a folder that has it")
    har = data.load("har", progress=False)
    found = calibrate(bundle_file.load(bundle_file.resolve("har"), cloud=True), har)
    told = found.manifest.calibration.calibration
    assert not told.independent
    assert "approximate" in told.note
    assert len(har.calibration) / 2 <= told.samples < len(har.calibration) * 0.6
    assert samples_to_run(har) == told.samples + len(har.tuning)


def test_the_scores_are_those_of_the_exit_rule(found, digits):
    """Leaving by the engine at every point of the path gives the path's shares."""
    told = found.manifest.calibration
    read = EdgeEngine(found).exit_readings(digits.tuning.x)
    scores = exits.score(read.logits[:, 0], temperature=found.manifest.exits[0].temperature)
    for one in told.path:
        assert (exits.leaves(scores, one.thresholds[0]) & read.in_domain[:, 0]).mean() == one.edge_share


def test_the_fitted_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 5)) * 2
    labels = np.array([rng.choice(5, p=p) for p in exits.softmax(honest, 1.0)])
    assert fit_temperature(honest * 3.0, labels) == pytest.approx(3.0, rel=0.15)
