"""Expected calibration error: the distance between how sure labels are and how often they are right."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_model.evaluation import error_by_chance, expected_calibration_error, reliability


def test_confidences_that_are_true_have_no_error() -> None:
    confidence = np.repeat([0.25, 0.75], 100)
    right = np.concatenate([np.arange(100) < 25, np.arange(100) < 75])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.0)


def test_the_error_is_the_mean_distance_weighted_by_samples() -> None:
    """300 samples 0.9 sure and half of them right, 100 samples 0.5 sure and all right."""
    confidence = np.repeat([0.9, 0.5], [300, 100])
    right = np.concatenate([np.arange(300) < 150, np.ones(100, dtype=bool)])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.75 * 0.4 + 0.25 * 0.5)
    assert [each.samples for each in reliability(confidence, right)] == [100, 300]


def test_the_bounds_belong_to_a_bin_and_no_samples_have_no_error() -> None:
    assert [each.samples for each in reliability(np.array([0.0, 1.0]), np.array([False, True]))] == [1, 1]
    assert expected_calibration_error(np.empty(0), np.empty(0, dtype=bool)) is None


def test_few_samples_have_an_error_by_chance_and_many_have_none() -> None:
    random = np.random.RandomState(1)
    few, many = (random.uniform(0.5, 1.0, size) for size in (100, 100_000))
    of_few, of_many = error_by_chance(few), error_by_chance(many)
    assert of_few is not None
    assert of_many is not None
    assert 0.05 < of_few < 0.2
    assert of_many < 0.005
    assert error_by_chance(few) == of_few, "the same every time"
    assert error_by_chance(np.empty(0)) is None
