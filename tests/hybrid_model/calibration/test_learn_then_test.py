"""Fixed-sequence testing: its p-value by hand, and how often a path that passed does not hold."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.calibration.learn_then_test import binomial_p_value, point_p_value, samples_needed, walked
from hybrid_model.calibration.routine import Predictions, judge
from hybrid_model.calibration.threshold_path import ScoreRange, enabled_exits, exit_taken, threshold_path
from hybrid_model.runtime import EdgeEngine

DELTA = 0.05
ENTROPY = ScoreRange("entropy", 10)


@pytest.mark.parametrize(
    ("errors", "samples", "alpha", "worked_by_hand"),
    [
        (0, 3, 0.25, 27 / 64),  # (3/4)^3
        (1, 3, 0.25, 27 / 64 + 27 / 64),  # + 3 * 1/4 * (3/4)^2
        (2, 3, 0.25, 63 / 64),  # all but (1/4)^3
        (3, 3, 0.25, 1.0),
        (0, 0, 0.25, 1.0),  # nobody left: nothing is known
    ],
)
def test_the_p_value_is_the_binomial_tail(errors, samples, alpha, worked_by_hand):
    assert binomial_p_value(errors, samples, alpha) == pytest.approx(worked_by_hand, rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 99))
@settings(max_examples=50)
def test_the_p_value_is_exact_up_to_rounding(one, other, percent):
    errors, samples = sorted((one, other))
    ways = sum(math.comb(samples, k) * percent**k * (100 - percent) ** (samples - k) for k in range(errors + 1))
    exact = float(Fraction(ways, 100**samples))
    assert binomial_p_value(errors, samples, percent / 100) == pytest.approx(exact, rel=1e-10, abs=1e-300)


def test_many_samples_neither_underflow_nor_overflow():
    assert binomial_p_value(0, 1_000_000, 0.05) == 0.0
    assert binomial_p_value(50_000, 1_000_000, 0.05) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("errors", "samples", "alpha"), [(2, 1, 0.1), (-1, 3, 0.1), (0, 3, 0.0), (0, 3, 1.0)])
def test_what_cannot_be_is_refused(errors, samples, alpha):
    with pytest.raises(ValueError, match=r"cannot be|lies between"):
        binomial_p_value(errors, samples, alpha)


def test_58_samples_without_an_error_do_not_suffice_for_5_percent_and_59_do():
    assert samples_needed(0.05, DELTA) == pytest.approx(58.404, abs=1e-3)
    assert binomial_p_value(0, 58, 0.05) > DELTA >= binomial_p_value(0, 59, 0.05)


def test_a_point_is_as_good_as_the_worst_exit_at_which_anybody_leaves():
    taken = np.array([0] * 100 + [1] * 100 + [-1] * 50)
    wrong = np.zeros((250, 3), dtype=bool)
    wrong[100:110, 1] = True  # ten of those that leave at exit 1
    wrong[100:, 0] = True  # wrong where they do not leave: no matter
    assert point_p_value(taken, wrong, [0], 0.05) == binomial_p_value(0, 100, 0.05)
    assert point_p_value(taken, wrong, [0, 1], 0.05) == binomial_p_value(10, 100, 0.05)
    assert point_p_value(taken, wrong, [0, 1, 2], 0.05) == 1.0


def test_the_walk_ends_at_the_first_failure():
    assert walked(iter([0.01, 0.05, 0.06, 0.001]), DELTA) == [0.01, 0.05, 0.06]
    assert walked(iter([0.2, 0.001]), DELTA) == [0.2]
    assert walked(iter([0.01, 0.02]), DELTA) == [0.01, 0.02]


def passed(ranked, wrong, thresholds, alpha, scores):
    """How many points of the path pass, as calibration walks it."""
    seen = walked(
        (point_p_value(exit_taken(ranked, one), wrong, enabled_exits(one, scores), alpha) for one in thresholds), DELTA
    )
    return sum(p_value <= DELTA for p_value in seen)


def at_most_delta(violations, draws):
    """The observed rate is at most delta within three standard errors of a binomial."""
    return violations / draws <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / draws)


@pytest.mark.parametrize("crossing", [0, 3])
def test_of_known_error_rates_a_false_point_passes_at_most_as_often_as_delta_says(crossing):
    """Two exits. The second's true error rate rises along the path and is above alpha from `crossing` on."""
    rng, alpha, draws = np.random.default_rng(7), 0.05, 1500
    thresholds = [[0.4, level] for level in (0.3, 0.5, 0.7, 0.9)]
    # Ranks are uniform; at exit 1 the chance of an error is a constant in each band between two thresholds, so that
    # the mean over those that leave is 0.01, 0.02, ... and just above alpha from the crossing on.
    means = np.array([0.01, 0.02, 0.03, 0.0501]) if crossing else np.array([0.0501, 0.0502, 0.0503, 0.0504])
    levels = np.array([level for _, level in thresholds])
    bands = np.diff(means * levels, prepend=0.0) / np.diff(levels, prepend=0.0)
    violations, reached = 0, 0
    for _ in range(draws):
        ranked = rng.uniform(size=(700, 2))
        chance = np.append(bands, 1.0)[np.searchsorted(levels, ranked[:, 1], side="right")]
        wrong = rng.uniform(size=(700, 2)) < np.stack([np.full(700, 0.005), chance], axis=1)
        count = passed(ranked, wrong, thresholds, alpha, ENTROPY)
        violations += count > crossing
        reached += count >= crossing
    assert at_most_delta(violations, draws)
    assert violations > 0.3 * DELTA * draws, "the test is not merely timid"
    assert reached > 0.3 * draws


@pytest.fixture(scope="module")
def digits():
    """The shipped digits at their exit: the tuning split, and the other two held-out ones."""
    bundle = bundle_file.load(bundle_file.resolve("digits"), cloud=True)
    loaded = data.load("digits", progress=False)
    engine = EdgeEngine(bundle)

    def judged(*splits):
        logits = np.concatenate([engine.exit_logits(split.x)[0] for split in splits])
        labels = np.concatenate([split.y for split in splits])
        return judge(Predictions(logits, np.eye(10)[labels], labels), [1.0], ENTROPY)

    return judged(loaded.tuning), judged(loaded.calibration, loaded.test)


def test_drawn_from_real_scores_a_path_that_passed_holds_as_often_as_promised(digits):
    """The held-out digits as the population: its error rates are known, and calibration splits are drawn from it."""
    tuning, population = digits
    ranked, wrong = population.ranked, population.wrong
    thresholds = threshold_path(tuning, [0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0], ENTROPY)[1:]
    rates = [float(wrong[exit_taken(ranked, one) == 0, 0].mean()) for one in thresholds]
    alpha = 0.9 * rates[-1]
    true_nulls = [number for number, rate in enumerate(rates) if rate > alpha]
    assert true_nulls
    assert rates[0] < alpha, "the path leads from points that hold to points that do not"
    rng, draws, violations, found_any = np.random.default_rng(3), 1000, 0, 0
    for _ in range(draws):
        rows = rng.integers(0, len(ranked), 600)
        count = passed(ranked[rows], wrong[rows], thresholds, alpha, ENTROPY)
        violations += count > true_nulls[0]
        found_any += count > 0
    assert at_most_delta(violations, draws)
    assert found_any > 0.5 * draws
