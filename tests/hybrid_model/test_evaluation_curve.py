"""The whole calibrated path from one pass: each point is what the engine would decide with its thresholds."""

import dataclasses

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.calibration import OperatingPoint, calibrate
from hybrid_model.evaluation import EvaluationError, answers_on, curve, evaluate
from hybrid_model.runtime import EdgeEngine


@pytest.fixture(scope="module")
def bundle():
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def said(bundle, digits):
    return answers_on(bundle, digits, with_scores=True)


@pytest.fixture(scope="module")
def found(bundle, digits, said):
    return curve(bundle, digits, said)


def test_every_point_of_the_path_is_there_and_the_path_opens(bundle, found):
    told = bundle.manifest.calibration
    assert [one.thresholds for one in found.points] == [list(one.thresholds) for one in told.path]
    shares = [one.edge_share for one in found.points]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert found.points[0].accuracy == found.accuracy_cloud


def test_the_working_point_is_what_evaluate_tells(bundle, digits, said, found):
    (working,) = [one for one in found.points if one.working]
    whole = evaluate(bundle, digits, said=said)
    assert working.number == bundle.manifest.calibration.point
    assert working.accuracy == whole.accuracy.hybrid
    assert working.exit_share == whole.exit_share
    assert working.exit_error_rate == whole.exit_error_rate
    assert working.energy_reduction.mac == whole.energy_reduction_mac
    assert working.accuracy_interval == whole.accuracy_interval["hybrid"]


def test_points_are_the_engines_own_decisions(bundle, digits, said, found):
    engine = EdgeEngine(bundle)
    for one in found.points[::7]:
        decided = engine.infer(digits.test.x, thresholds=one.thresholds)
        assert one.edge_share == float((decided.exit_index >= 0).mean())
        label = np.where(decided.exit_index >= 0, decided.class_index, said.cloud_class)
        assert one.accuracy == float((label == digits.test.y).mean())


def test_points_of_a_guarded_bundle_are_the_engines_own_decisions_too(bundle, digits):
    guarded = calibrate(bundle, digits, OperatingPoint(edge_share=0.75, guard_share_lost=0.1))
    engine = EdgeEngine(guarded)
    points = curve(guarded, digits, answers_on(guarded, digits, with_scores=True)).points
    for one in points[::7]:
        decided = engine.infer(digits.test.x, thresholds=one.thresholds)
        assert one.edge_share == float((decided.exit_index >= 0).mean())
    assert points[-1].edge_share < 1


@pytest.mark.parametrize(("start", "passed", "marked"), [(3, 9, range(3, 10)), (3, None, []), (None, None, [])])
def test_what_passed_is_marked(bundle, digits, said, start, passed, marked):
    told = bundle.manifest.calibration.model_copy(update={"start": start, "passed": passed})
    walked = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": told}))
    assert [one.number for one in curve(walked, digits, said).points if one.passed] == list(marked)


def test_a_bundle_without_a_path_has_no_curve(bundle, digits, said):
    bare = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": None}))
    with pytest.raises(EvaluationError, match="dewpoint calibrate"):
        curve(bare, digits, said)


def test_answers_without_scores_have_no_curve(bundle, digits, said):
    with pytest.raises(ValueError, match="with_scores"):
        curve(bundle, digits, dataclasses.replace(said, exit_score=None))
