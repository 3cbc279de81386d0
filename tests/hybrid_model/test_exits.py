from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hybrid_model.exits import leaves, score, softmax

LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)
KINDS = ("entropy", "max_probability", "margin")


def test_scores_of_a_row_worked_by_hand() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2]]))
    assert score(logits, kind="entropy")[0] == pytest.approx(-sum(p * math.log(p) for p in (0.5, 0.3, 0.2)))
    assert score(logits, kind="max_probability")[0] == pytest.approx(0.5)
    assert score(logits, kind="margin")[0] == pytest.approx(0.2)


def test_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, -1.0, 0.5]])
    assert np.allclose(softmax(logits, 4.0), softmax(logits / 4.0))
    assert score(logits, temperature=4.0) > score(logits, temperature=1.0)


def test_entropy_is_in_nats_and_ends_at_0_and_ln_k() -> None:
    sure, unsure = np.array([[1e30, 0.0, -1e30]]), np.zeros((1, 3))
    assert score(sure)[0] == 0.0
    assert score(unsure)[0] == pytest.approx(math.log(3))


@given(LOGITS, st.sampled_from(KINDS), st.floats(0.01, 100))
def test_any_logits_give_a_score_in_range_or_nan_where_one_is_not_finite(logits, kind, temperature) -> None:  # type: ignore[no-untyped-def]
    scores = score(logits, kind=kind, temperature=temperature)
    finite = np.isfinite(logits).all(axis=1)
    assert scores.shape == (len(logits),)
    assert np.array_equal(np.isnan(scores), ~finite)
    top = math.log(logits.shape[1]) if kind == "entropy" else 1.0
    assert (scores[finite] >= 0).all()
    assert (scores[finite] <= top + 1e-9).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_that_are_not_finite_never_leave(bad: float, kind) -> None:  # type: ignore[no-untyped-def]
    scores = score(np.array([[bad, 0.0], [9.0, 0.0]]), kind=kind)
    loosest = math.inf if kind == "entropy" else -math.inf
    assert leaves(scores, loosest, kind).tolist() == [False, True]


def test_low_entropy_leaves_and_high_probability_and_margin_leave() -> None:
    scores = np.array([0.1, 0.5, 0.9])
    assert leaves(scores, 0.5, "entropy").tolist() == [True, False, False]
    assert leaves(scores, 0.5, "max_probability").tolist() == [False, False, True]
    assert leaves(scores, 0.5, "margin").tolist() == [False, False, True]


def test_a_threshold_of_nan_lets_nothing_leave() -> None:
    assert not leaves(np.array([0.0, 1.0]), math.nan, "entropy").any()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.zeros((1, 2)), temperature)


def test_an_unknown_rule_and_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown score"):
        score(np.zeros((1, 2)), kind="loss")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        score(np.zeros(3))
