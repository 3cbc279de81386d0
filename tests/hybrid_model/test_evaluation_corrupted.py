"""`evaluate_corruptions`: a bundle on corrupted pictures."""

import dataclasses
import json

import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.corruptions import CAMERA, KINDS
from hybrid_model.evaluation import (
    CorruptedFigures,
    EvaluationError,
    corrupted,
    evaluate,
    evaluate_corruptions,
    samples_to_corrupt,
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def bundle():
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def report(bundle, digits):
    return evaluate_corruptions(bundle, digits, split="tuning")


def test_every_kind_has_four_shares_at_five_severities(report):
    assert list(report.kinds) == list(KINDS)
    assert list(report.camera) == list(CAMERA) == ["jpeg_60", "noise_8"]
    assert {len(row) for row in report.kinds.values()} == {5}
    for one in (*(one for row in report.kinds.values() for one in row), *report.camera.values(), report.uncorrupted):
        right_and_sure = 0.0 if one.confident_accuracy is None else one.confident_accuracy * one.edge_share
        assert one.wrong_but_sure == pytest.approx(one.edge_share - right_and_sure)
        assert right_and_sure <= one.hybrid + 1e-12
        assert one.hybrid <= 1 - one.wrong_but_sure + 1e-12


def test_pictures_that_are_left_as_they_are_have_the_figures_of_an_evaluation(report, bundle, digits):
    plain = evaluate(bundle, digits, split="tuning")
    assert report.uncorrupted.hybrid == plain.accuracy.hybrid
    assert report.uncorrupted.edge_share == plain.edge_share


def test_corruption_costs_right_answers(report):
    assert report.mean.hybrid < report.uncorrupted.hybrid - 0.05
    assert report.kinds["contrast"][4].hybrid < report.kinds["contrast"][0].hybrid


def test_the_mean_is_over_kinds_and_severities(report):
    every = [one for row in report.kinds.values() for one in row]
    assert report.mean.hybrid == pytest.approx(sum(one.hybrid for one in every) / 75)
    assert report.mean.wrong_but_sure == pytest.approx(sum(one.wrong_but_sure for one in every) / 75)


def test_where_none_leaves_there_is_no_accuracy_of_the_sure_and_the_mean_leaves_it_out():
    none, half = CorruptedFigures(0.0, None, 0.5, 0.0), CorruptedFigures(0.5, 0.8, 0.7, 0.1)
    assert corrupted._mean([none, half]) == CorruptedFigures(0.25, 0.8, 0.6, 0.05)
    assert corrupted._mean([none, none]).confident_accuracy is None


def test_an_exit_that_lets_none_go_has_no_accuracy(bundle, digits):
    shut = tuple(described.model_copy(update={"threshold": -1.0}) for described in bundle.manifest.exits)
    closed = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"exits": shut}))
    found = evaluate_corruptions(closed, digits, split="tuning", samples=3)
    assert found.mean.confident_accuracy is None
    assert found.mean.edge_share == found.mean.wrong_but_sure == 0


def test_the_first_samples_are_taken_and_every_one_is_counted(bundle, digits):
    counted = []
    found = evaluate_corruptions(bundle, digits, split="tuning", samples=20, advance=counted.append)
    assert found.samples == 20
    assert sum(counted) == samples_to_corrupt(digits, 20, split="tuning") == 20 * 78
    assert samples_to_corrupt(digits, 10_000, split="tuning") == samples_to_corrupt(digits, split="tuning") == 144 * 78


def test_the_data_hold_kinds_mean_and_cameras(report):
    told = json.loads(json.dumps(report.to_json()))
    assert set(told) == {"corruptions", "camera", "uncorrupted", "samples_corrupted"}
    assert set(told["corruptions"]) == {*KINDS, "mean"}
    assert told["samples_corrupted"] == 144
    shares = {"edge_share", "confident_accuracy", "hybrid", "wrong_but_sure"}
    assert set(told["corruptions"]["fog"][4]) == set(told["corruptions"]["mean"]) == shares
    assert set(told["camera"]) == {"jpeg_60", "noise_8"}
    assert set(told["camera"]["jpeg_60"]) == set(told["uncorrupted"]) == shares


def test_sensors_have_no_corruptions(bundle, digits):
    sensors = dataclasses.replace(digits, name="har", kind="sensor")
    with pytest.raises(EvaluationError, match="har holds readings of sensors; corruptions are for pictures: leave"):
        evaluate_corruptions(bundle, sensors)


def test_a_data_set_of_other_classes_is_refused(digits):
    with pytest.raises(EvaluationError, match="name the set it was trained on"):
        evaluate_corruptions(bundle_file.load(bundle_file.resolve("cifar10"), cloud=True), digits)
