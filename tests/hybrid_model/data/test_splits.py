from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.data import Dataset, Split
from hybrid_model.data.splits import stratified, three_ways, without_overlap

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


def recorded(segments, *, hop, length=128):
    count = len(segments)
    split = Split(
        x=np.zeros((count, 1, length, 2), dtype=np.float32),
        y=np.zeros(count, dtype=np.int64),
        segment=np.array(segments, dtype=np.int64),
    )
    return Dataset("d", ("a", "b"), "sensor", split, split, split, split, hop=hop)


def test_of_windows_that_overlap_by_half_every_other_stays_in_each_recording():
    kept = without_overlap(recorded([4, 4, 4, 4, 7, 7, 2, 9, 9, 9], hop=64), "calibration")
    assert np.flatnonzero(kept).tolist() == [0, 2, 4, 6, 7, 9]


def test_a_hop_that_does_not_divide_the_length_leaves_a_gap():
    kept = without_overlap(recorded([1] * 7, hop=50), "tuning")
    assert np.flatnonzero(kept).tolist() == [0, 3, 6]


def test_windows_that_only_touch_all_stay():
    assert without_overlap(recorded([1, 1, 1], hop=128), "test").all()


def test_where_nothing_overlaps_all_stay():
    pictures = Split(x=np.zeros((3, 8, 8, 1), dtype=np.uint8), y=np.zeros(3, dtype=np.int64))
    assert without_overlap(Dataset("d", ("a", "b"), "image", *[pictures] * 4), "calibration").all()
