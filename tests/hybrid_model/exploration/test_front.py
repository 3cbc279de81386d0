"""The Pareto front against its definition, tried on every pair."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.exploration import pareto_front

TABLES = st.integers(2, 4).flatmap(
    lambda width: st.tuples(
        st.lists(st.tuples(*[st.integers(-3, 3)] * width), min_size=1, max_size=12),
        st.tuples(*[st.sampled_from(["maximize", "minimize"])] * width),
    )
)


def dominates(a, b, directions):
    gains = [(x - y) if d == "maximize" else (y - x) for x, y, d in zip(a, b, directions, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(TABLES)
def test_on_the_front_is_what_no_other_row_dominates(table):
    rows, directions = table
    expected = [i for i, row in enumerate(rows) if not any(dominates(other, row, directions) for other in rows)]
    assert pareto_front(rows, directions).tolist() == expected


def test_a_single_row_is_the_front():
    assert np.array_equal(pareto_front([(1.0, 2.0)], ["maximize", "minimize"]), [0])
