"""Temperatures and thresholds from a tuning split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model import exits
from hybrid_model.training.calibration import (
    choose_thresholds,
    fit_temperature,
    leaving_by_error,
    thresholds_for_counts,
)


def _overconfident(seed: int, n: int = 4000, gain: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at T = `gain` is right about its own errors."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n, 5)) * 2
    probabilities = exits.softmax(honest, 1.0)
    labels = np.array([rng.choice(5, p=p) for p in probabilities])
    return honest * gain, labels


def test_the_fitted_temperature_undoes_overconfidence():
    logits, labels = _overconfident(0)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.15)


@given(st.floats(0.1, 0.9), st.sampled_from(["entropy", "max_probability", "margin"]), st.integers(0, 20))
def test_the_working_point_has_the_wanted_edge_share(share, score, seed):
    logits, labels = _overconfident(seed, n=300)
    other, _ = _overconfident(seed + 100, n=300)
    exit_logits = np.stack([logits, logits + 0.5 * other], axis=1)
    point = choose_thresholds(exit_logits, logits, labels, edge_share=share, score=score)
    left = np.zeros(300, dtype=bool)
    for e in range(2):
        values = exits.score(exit_logits[:, e], kind=score, temperature=point.temperatures[e])
        left |= exits.leaves(values, point.thresholds[e], score)
    assert left.mean() == pytest.approx(share, abs=0.02)
    assert point.edge_share == left.mean()


def test_an_exit_that_is_never_right_lets_nobody_leave():
    ranked = np.arange(10.0).reshape(10, 1)
    assert leaving_by_error(ranked, np.ones((10, 1), dtype=bool), 0.5) == [0]
    assert thresholds_for_counts(ranked, [0]) == [-np.inf]


def test_later_exits_count_only_what_earlier_ones_left_over():
    ranked = np.array([[0.1, 9.0], [0.2, 8.0], [5.0, 0.1], [6.0, 0.2]])
    wrong = np.array([[False, True], [False, True], [True, False], [True, True]])
    assert leaving_by_error(ranked, wrong, 0.0) == [2, 1]
    assert thresholds_for_counts(ranked, [2, 1]) == pytest.approx([2.6, 0.15])


def test_an_allowed_error_rate_is_kept():
    ranked = np.arange(6.0).reshape(6, 1)
    wrong = np.array([0, 0, 1, 0, 1, 1], dtype=bool).reshape(6, 1)
    assert leaving_by_error(ranked, wrong, 0.25) == [4]
