from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.data.splits import stratified, three_ways

labels = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(lambda y: np.array(y, dtype=np.int64))


@given(labels, st.data())
def test_exactly_as_many_samples_are_picked_as_asked_for(y, data):
    count = data.draw(st.integers(0, len(y)))
    assert stratified(y, count=count).sum() == count


@given(labels, st.data())
def test_every_class_keeps_its_share_within_one_sample(y, data):
    count = data.draw(st.integers(0, len(y)))
    mask = stratified(y, count=count)
    for label in np.unique(y):
        exact = (y == label).sum() * count / len(y)
        assert abs((y[mask] == label).sum() - exact) <= 1


@given(labels)
def test_every_row_goes_to_exactly_one_of_the_three_parts(y):
    parts = three_ways(y, tuning=len(y) // 4, calibration=len(y) // 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_the_same_rows_are_picked_every_time():
    y = np.arange(1000) % 7
    assert np.flatnonzero(stratified(y, count=20))[:5].tolist() == [43, 101, 102, 112, 137]
    assert (stratified(y, count=20) != stratified(y, count=20, seed=1)).any()


def test_more_samples_than_there_are_cannot_be_picked():
    with pytest.raises(ValueError, match="cannot pick 4 of 3"):
        stratified(np.zeros(3, dtype=np.int64), count=4)
