from __future__ import annotations

import numpy as np
import pytest

from hybrid_model import data


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_digits_are_pictures_of_eight_by_eight_grey_pixels(digits):
    assert digits.kind == "image"
    assert digits.classes == tuple("0123456789")
    for name in data.SPLITS:
        split = digits.split(name)
        assert split.x.shape == (len(split), 8, 8, 1)
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int64
    assert digits.train.x.min() == 0
    assert digits.train.x.max() == 255


def test_digits_are_divided_into_all_1797_samples_once(digits):
    sizes = {name: len(digits.split(name)) for name in data.SPLITS}
    assert sizes == {"train": 1150, "tuning": 144, "calibration": 144, "test": 359}


def test_every_digit_occurs_in_every_split(digits):
    for name in data.SPLITS:
        assert set(digits.split(name).y.tolist()) == set(range(10))


def test_the_division_of_the_digits_never_changes(digits):
    assert digits.fingerprint("train") == "1725c27da7d9cbb2"
    assert digits.fingerprint("test") == "617b4fe6e84afdb8"


def test_an_unknown_data_set_is_refused_with_the_names_of_those_that_there_are():
    with pytest.raises(data.DataMissingError, match="digits, cifar10, cifar100, har"):
        data.load("mnist")
