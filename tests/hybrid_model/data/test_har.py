from __future__ import annotations

import numpy as np
import pytest

from hybrid_model import data
from hybrid_model.data import har


@pytest.fixture(scope="module")
def _loaded():
    return data.load("har", progress=False)


@pytest.fixture
def dataset(data_folder, request):
    return request.getfixturevalue("_loaded")


def test_windows_are_pictures_of_height_one_with_nine_channels(dataset):
    assert dataset.kind == "sensor"
    assert dataset.test.x.shape == (2947, 1, 128, 9)
    assert dataset.test.x.dtype == np.float32
    assert dataset.channels[0] == "body_acc_x"
    assert dataset.rate_hz == 50.0
    np.testing.assert_allclose(dataset.train.x[0, 0, :3, 0], [1.808515e-04, 1.013856e-02, 9.275574e-03], atol=1.3e-4)


def test_no_subject_is_in_two_splits(dataset):
    subjects = [set(dataset.split(name).group.tolist()) for name in data.SPLITS]
    assert [len(s) for s in subjects] == [15, 3, 3, 9]
    assert len(set.union(*subjects)) == 30
    assert subjects[3] == {2, 4, 9, 10, 12, 13, 18, 20, 24}


def test_every_activity_occurs_in_every_split(dataset):
    for name in data.SPLITS:
        assert set(dataset.split(name).y.tolist()) == set(range(6))


def test_inside_a_segment_each_window_starts_64_readings_after_the_one_before(dataset):
    for name in data.SPLITS:
        split = dataset.split(name)
        joined = split.segment[:-1] == split.segment[1:]
        assert (split.x[:-1, 0, 64:][joined] == split.x[1:, 0, :64][joined]).all()
        assert (split.y[:-1][joined] == split.y[1:][joined]).all()


def test_segments_found_in_the_windows_are_those_of_the_packed_file(dataset, data_folder):
    source = har._from_packed(data_folder / "uci_har_q12.npz")
    assert (har.segments(source.windows, source.labels, source.subjects) == source.segments).all()


def test_the_publishers_text_files_are_read_like_the_packed_file(dataset, data_folder, empty_home):
    packed = har._from_packed(data_folder / "uci_har_q12.npz")
    folder = empty_home / "UCI HAR Dataset"
    for split, rows in (("train", ~packed.tested), ("test", packed.tested)):
        (folder / split / "Inertial Signals").mkdir(parents=True)
        for i, channel in enumerate(har.CHANNELS):
            values = np.zeros_like(packed.windows[rows, :, i])  # the arrangement is under test: one reading will do
            values[:, 0] = packed.windows[rows, 0, i]
            path = folder / split / "Inertial Signals" / f"{channel}_{split}.txt"
            np.savetxt(path, values, fmt="%.7e" if i < 2 else "%.0f")
        np.savetxt(folder / split / f"y_{split}.txt", packed.labels[rows] + 1, fmt="%d")
        np.savetxt(folder / split / f"subject_{split}.txt", packed.subjects[rows], fmt="%d")
    read = data.load("har", progress=False)
    assert (read.test.y == dataset.test.y).all()
    assert (read.test.group == dataset.test.group).all()
    np.testing.assert_allclose(read.test.x[:, 0, 0, 1], dataset.test.x[:, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(read.tuning.x[:, 0, 0, 0], dataset.tuning.x[:, 0, 0, 0], atol=1e-6)


def test_a_folder_with_other_files_is_refused(empty_home):
    (empty_home / "UCI HAR Dataset").mkdir()
    with pytest.raises(data.DataDamagedError, match="not the UCI HAR files"):
        data.load("har", progress=False)
