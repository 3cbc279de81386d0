from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from services.sources.degrade import Degradation
from services.sources.errors import SourceError

kinds = st.sampled_from(["noise", "blur", "fog"])
batches = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(2, 9), st.sampled_from([1, 3]))
)


@given(kinds, st.floats(0, 1), batches)
def test_degraded_pictures_keep_shape_and_type_and_repeat_by_seed(kind, strength, x):
    degradation = Degradation(kind, strength)
    once, again = degradation.pictures(x, seed=3), degradation.pictures(x, seed=3)
    assert once.shape == x.shape
    assert once.dtype == np.uint8
    assert (once == again).all()


@given(kinds, batches)
def test_a_strength_of_nothing_changes_nothing(kind, x):
    assert (Degradation(kind, 0.0).pictures(x) == x).all()


def test_stronger_noise_spoils_more():
    x = np.full((1, 32, 32, 3), 128, np.uint8)
    weak, strong = (np.std(Degradation("noise", s).pictures(x).astype(float)) for s in (0.1, 0.5))
    assert weak == pytest.approx(12.75, rel=0.1)
    assert strong > 3 * weak


def test_blur_evens_out_neighbours():
    x = np.indices((16, 16)).sum(axis=0)[None, :, :, None].astype(np.uint8) % 2 * 255
    assert np.std(Degradation("blur", 1.0).pictures(x).astype(float)) < 0.3 * np.std(x.astype(float))


def test_fog_brightens_and_takes_contrast_away():
    x = np.random.default_rng(0).integers(0, 128, (4, 32, 32, 3), dtype=np.uint8)
    foggy = Degradation("fog", 0.8).pictures(x)
    assert foggy.mean() > x.mean() + 50
    assert foggy.std() < x.std()


def test_noise_on_readings_follows_each_channels_own_deviation():
    x = np.zeros((5000, 2), np.float32)
    noisy = Degradation("noise", 0.5).readings(x, deviation=np.array([1.0, 10.0]))
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy.std(axis=0), [0.5, 5.0], rtol=0.05)


def test_sensors_know_no_fog():
    with pytest.raises(SourceError, match="noise or blur"):
        Degradation("fog", 0.5).readings(np.zeros((5, 2), np.float32), deviation=np.ones(2))


@pytest.mark.parametrize("text", ["rain", "noise:2", "noise:much", "noise:-0.1", "", "noise:nan"])
def test_what_is_no_degradation_is_refused_with_an_example(text):
    with pytest.raises(SourceError, match=r"e\.g\. noise:0\.4"):
        Degradation.parse(text)


def test_a_degradation_is_read_from_kind_and_strength():
    assert Degradation.parse("blur:0.25") == Degradation("blur", 0.25)
    assert Degradation.parse("fog").kind == "fog"
