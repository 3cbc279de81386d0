"""The path of thresholds from strict to loose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model import exits
from hybrid_model.calibration.threshold_path import (
    EARLY_EXIT_COST,
    Judged,
    ScoreRange,
    enabled_exits,
    exit_taken,
    threshold_for_count,
    threshold_path,
)

ENTROPY = ScoreRange("entropy", 3)
KINDS = ["entropy", "max_probability", "margin"]


def exit_logits(seed, exit_count, n=200, classes=4):
    """Logits (N, E, K) of exits each better than the one before, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    signal = np.eye(classes)[labels] * rng.uniform(0, 4, n)[:, None]
    noise = rng.normal(size=(n, exit_count, classes))
    return signal[:, None] + noise * np.linspace(1.5, 0.8, exit_count)[None, :, None], labels


def judged(seed, exit_count, scores, n=200):
    logits, labels = exit_logits(seed, exit_count, n)
    ranks = [scores.rank(exits.score(logits[:, e], kind=scores.kind)) for e in range(exit_count)]
    wrong = logits.argmax(axis=2) != labels[:, None]
    return Judged(np.stack(ranks, axis=1), wrong, np.random.default_rng(seed).uniform(size=n) < 0.95)


@given(st.sampled_from(KINDS), st.integers(1, 3), st.integers(0, 50))
@settings(max_examples=20)
def test_the_path_leads_from_nobody_to_everybody_and_no_exit_gets_stricter(kind, exit_count, seed):
    scores, shares = ScoreRange(kind, 4), [0.1, 0.25, 0.5, 0.75, 1.0]
    split = judged(seed, exit_count, scores)

    path = np.array(threshold_path(split, shares, scores))

    assert (np.diff(path, axis=0) >= 0).all()
    assert (np.diff(path, axis=0) > 0).any(axis=1).all()
    reached = [float((exit_taken(split.ranked, one) >= 0).mean()) for one in path]
    assert reached == pytest.approx([0.0, *shares], abs=0.006)


@pytest.mark.parametrize("kind", KINDS)
def test_ranked_thresholds_decide_as_the_exit_rule_does(kind):
    logits, _ = exit_logits(1, 1)
    scores = ScoreRange(kind, 4)
    values = exits.score(logits[:, 0], kind=kind)
    for rank in (scores.surest, float(np.median(scores.rank(values))), scores.least_sure):
        by_rank = exit_taken(scores.rank(values)[:, None], [rank]) == 0
        assert (by_rank == exits.leaves(values, scores.score(rank), kind)).all()
    assert not exits.leaves(values, scores.score(scores.surest), kind).any()


@pytest.mark.parametrize(("kind", "surest", "least_sure"), [
    ("entropy", 0.0, np.log(4)), ("max_probability", 1.0, 0.25), ("margin", 1.0, 0.0),
])  # fmt: skip
def test_scores_lie_between_certainty_and_equal_logits(kind, surest, least_sure):
    scores = ScoreRange(kind, 4)
    assert scores.score(scores.surest) == surest
    assert scores.score(scores.least_sure) == pytest.approx(least_sure)
    assert scores.surest < scores.least_sure


def test_a_sample_leaves_at_the_first_exit_that_lets_it():
    ranked = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.5]])
    assert exit_taken(ranked, [0.5, 0.5]).tolist() == [0, 1, -1, -1]
    assert enabled_exits([0.0, 0.5], ENTROPY) == [1]


def test_accuracy_is_that_of_whoever_answers():
    split = Judged(
        ranked=np.zeros((4, 2)),
        wrong=np.array([[False, True], [True, False], [True, True], [True, True]]),
        cloud_right=np.array([False, False, True, False]),
    )
    assert split.accuracy(np.array([0, 1, -1, -1])) == 0.75
    assert split.accuracy(np.array([-1, -1, -1, -1])) == 0.25


def test_a_threshold_lies_halfway_between_the_last_that_leaves_and_the_first_that_stays():
    ranks = np.array([0.3, 0.1, 0.7])
    assert threshold_for_count(ranks, 0, ENTROPY) == 0.0
    assert threshold_for_count(ranks, 2, ENTROPY) == pytest.approx(0.5)
    assert threshold_for_count(ranks, 3, ENTROPY) == pytest.approx((0.7 + np.log(3)) / 2)


def at_share(split, share, scores):
    """Where samples leave at the point of the path that has this share."""
    path = threshold_path(split, [number / 20 for number in range(1, 21)], scores)
    return exit_taken(split.ranked, path[round(20 * share)])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_early_exits_cost_no_more_than_allowed_against_the_last_exit_alone(share):
    scores = ScoreRange("entropy", 4)
    split = judged(5, 2, scores, n=4000)
    taken = at_share(split, share, scores)
    alone = threshold_for_count(split.ranked[:, 1], round(share * 4000), scores)
    deepest = split.accuracy(np.where(split.ranked[:, 1] < alone, 1, -1))
    assert split.accuracy(taken) >= deepest - EARLY_EXIT_COST - 1e-9


def test_an_early_exit_that_is_always_right_answers_all_that_leave():
    scores = ScoreRange("entropy", 4)
    split = judged(2, 2, scores, n=400)
    perfect = Judged(split.ranked, np.stack([np.zeros(400, bool), split.wrong[:, 1]], axis=1), split.cloud_right)
    taken = at_share(perfect, 0.5, scores)
    assert (taken == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_an_early_exit_that_is_never_right_answers_next_to_nothing():
    scores = ScoreRange("entropy", 4)
    split = judged(2, 2, scores, n=400)
    hopeless = Judged(split.ranked, np.stack([np.ones(400, bool), split.wrong[:, 1]], axis=1), split.cloud_right)
    taken = at_share(hopeless, 0.5, scores)
    assert (taken == 0).mean() <= 0.01
    assert (taken == 1).mean() == pytest.approx(0.5, abs=0.01)
