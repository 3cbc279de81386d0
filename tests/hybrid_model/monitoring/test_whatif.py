"""The what-if curve: weights of samples along a path."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_model import bundle, data
from hybrid_model.bundle import Calibration
from hybrid_model.evaluation import answers_on, curve
from hybrid_model.monitoring import WhatIfPath, what_if_curve


def calibration(name: str = "digits") -> Calibration:
    found = bundle.load(bundle.resolve(name)).manifest.calibration
    assert found is not None
    return found


def with_path(*thresholds: tuple[float, ...]) -> Calibration:
    """A calibration by entropy whose path has these thresholds."""
    base = calibration()
    figures = {"edge_share": 0.0, "exit_share": (0.0,) * len(thresholds[0]), "error_rate": (None,) * len(thresholds[0])}
    path = tuple(base.path[0].model_copy(update={"thresholds": one, **figures}) for one in thresholds)
    return base.model_copy(update={"path": path, "point": 0})


TWO_EXITS = WhatIfPath(with_path((0.0, 0.0), (0.5, 0.0), (0.5, 0.5)))


def test_a_sample_leaves_at_the_first_exit_that_lets_it_and_agrees_with_its_class_there():
    scores = np.array([[0.4, 0.1], [0.9, 0.4], [0.9, 0.9]])
    classes = np.array([[1, 2], [1, 2], [2, 2]])
    found = TWO_EXITS.weigh(scores, classes, np.array([2, 2, 2]), np.ones(3))
    assert found.total == 3
    assert found.left.tolist() == [0, 1, 2]
    assert found.agreed.tolist() == [0, 0, 1], (
        "the first says 1 at exit 0, where it would leave, the second 2 at exit 1"
    )


def test_each_stands_for_its_weight():
    scores, classes = np.array([[0.1, 0.1], [0.9, 0.1]]), np.array([[3, 3], [3, 3]])
    found = TWO_EXITS.weigh(scores, classes, np.array([3, 4]), np.array([100.0, 1.0]))
    assert (found.total, found.left.tolist(), found.agreed.tolist()) == (101, [0, 100, 101], [0, 100, 100])


def test_a_score_that_is_missing_never_leaves():
    found = TWO_EXITS.weigh(np.array([[np.nan, 0.1]]), np.array([[-1, 3]]), np.array([3]), np.ones(1))
    assert found.left.tolist() == [0, 0, 1]


def test_a_long_path_is_thinned_and_keeps_its_ends_and_its_working_point():
    told = with_path(*((n / 1000,) for n in range(1000)))
    points = WhatIfPath(told.model_copy(update={"point": 501})).points
    assert len(points) <= 64
    assert {0, 501, 999} <= set(points)


def test_a_short_path_is_taken_whole():
    assert WhatIfPath(calibration()).points == tuple(range(len(calibration().path)))


def test_the_curve_of_weights():
    found = what_if_curve(200.0, {0: 0.0, 1: 100.0}, {0: 0.0, 1: 90.0, 2: 1.0})
    assert [one.point for one in found] == [0, 1]
    assert (found[0].edge_share, found[0].agreement, found[0].edge_agreement) == (0.0, 1.0, None)
    assert (found[1].edge_share, found[1].agreement, found[1].edge_agreement) == (0.5, 0.95, 0.9)


def test_without_samples_there_is_no_curve():
    assert what_if_curve(0.0, {0: 0.0}, {0: 0.0}) == ()


@pytest.mark.data
def test_from_an_audited_tenth_and_the_hard_ones_the_curve_is_that_of_all_samples():
    """Digits: who leaves at the working point is audited by chance, and every point of the path is told alike."""
    loaded = bundle.load(bundle.resolve("digits"), cloud=True)
    dataset = data.load("digits")
    said = answers_on(loaded, dataset, with_scores=True)
    assert loaded.manifest.calibration is not None
    assert said.exit_score is not None
    path, random = WhatIfPath(loaded.manifest.calibration), np.random.default_rng(0)
    rows = random.integers(0, len(said.exit_index), 40_000)
    hard = said.exit_index[rows] < 0
    seen = rows[hard | (random.random(len(rows)) < 0.1)]
    weights = np.where(said.exit_index[seen] < 0, 1.0, 10.0)
    inside = None if said.exit_in_domain is None else said.exit_in_domain[seen]
    found = path.weigh(said.exit_score[seen], said.exit_class[seen], said.cloud_class[seen], weights, inside)
    told = what_if_curve(found.total, dict(enumerate(found.left)), dict(enumerate(found.agreed)))
    whole = curve(loaded, dataset, said)
    for point, truth in zip(told, whole.points, strict=True):
        left = said.exit_score[:, 0] < truth.thresholds[0]
        if said.exit_in_domain is not None:
            left &= said.exit_in_domain[:, 0]
        agreement = float((~left | (said.exit_class[:, 0] == said.cloud_class)).mean())
        assert point.edge_share == pytest.approx(truth.edge_share, abs=0.03)
        assert point.agreement == pytest.approx(agreement, abs=0.01)


def test_what_is_not_in_the_domain_leaves_at_no_point():
    loaded = bundle.load(bundle.resolve("digits"))
    assert loaded.manifest.calibration is not None
    path = WhatIfPath(loaded.manifest.calibration)
    scores, classes, cloud = np.zeros((2, 1)), np.zeros((2, 1), dtype=int), np.zeros(2, dtype=int)
    found = path.weigh(scores, classes, cloud, np.array([1.0, 10.0]), np.array([[True], [False]]))
    assert found.total == 11.0
    assert found.left.max() == found.agreed.max() == 1.0
