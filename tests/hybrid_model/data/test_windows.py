"""Windows that share no reading."""

import numpy as np

from hybrid_model.data import Dataset, Split
from hybrid_model.data.windows import without_overlap


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
