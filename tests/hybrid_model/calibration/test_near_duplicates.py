"""Frames of a still scene: what they keep of the picture, and how far they go from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_model.calibration.near_duplicates import LIGHT_SHARE, NOISE_LEVELS, SHIFT_SHARE, near_duplicates

Picture = npt.NDArray[np.uint8]
#: No noise that was ever drawn is so far out.
NOISE_MAX = 7 * NOISE_LEVELS
SIZE = 128
SHAPES = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    st.sampled_from([(8, 8, 1), (32, 32, 3), (224, 224, 3), (1, 1, 1), (512, 1, 1), (1, 512, 1), (300, 3, 2)]),
)


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(shape: tuple[int, ...], seed: int = 0) -> Picture:
    return drawn(seed).integers(0, 256, shape, dtype=np.uint8)


@given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_pictures_of_any_shape_give_frames_of_their_levels(shape: tuple[int, int, int], count: int, seed: int) -> None:
    one = picture(shape, seed)
    frames = near_duplicates(one, count, drawn(seed))
    assert frames.shape == (count, *shape)
    assert frames.dtype == np.uint8
    low, high = (1 - LIGHT_SHARE) * one.min() - NOISE_MAX, (1 + LIGHT_SHARE) * one.max() + NOISE_MAX
    assert low <= frames.min() <= frames.max() <= high, "what comes in from outside is of the picture itself"


@given(SHAPES, st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_first_frame_is_the_picture_with_noise(shape: tuple[int, int, int], seed: int) -> None:
    one = picture(shape, seed)
    first = near_duplicates(one, 3, drawn(seed))[0]
    assert np.abs(first.astype(int) - one.astype(int)).max() <= NOISE_MAX


def test_the_noise_is_of_a_grey_level_in_every_frame_and_in_no_two_the_same() -> None:
    one = np.full((SIZE, SIZE, 3), 100, dtype=np.uint8)
    frames = near_duplicates(one, 6, drawn()).astype(float)
    centred = frames - frames.mean(axis=(1, 2, 3), keepdims=True)
    assert centred.std(axis=(1, 2, 3)) == pytest.approx(NOISE_LEVELS, rel=0.1)
    assert abs(np.corrcoef(centred[0].ravel(), centred[1].ravel())[0, 1]) < 0.05


def test_the_same_generator_gives_the_same_frames_and_another_one_others() -> None:
    one = picture((8, 8, 1))
    frames = near_duplicates(one, 5, drawn(3))
    assert np.array_equal(near_duplicates(one, 5, drawn(3)), frames)
    assert not np.array_equal(near_duplicates(one, 5, drawn(4)), frames)
    going_on = drawn(3)
    near_duplicates(one, 5, going_on)
    assert not np.array_equal(near_duplicates(one, 5, going_on), frames), "the next scene is another"


def test_the_picture_is_left_as_it_is() -> None:
    one = picture((8, 8, 3))
    before = one.copy()
    near_duplicates(one, 5, drawn())
    assert np.array_equal(one, before)


@pytest.mark.parametrize("size", [64, 192])
@pytest.mark.parametrize("axis", [0, 1])
def test_shift_and_light_wander_within_their_reach(axis: int, size: int) -> None:
    """Of a ramp a + b x, the frame's ramp tells both: its slope the light, where it is zero the shift."""
    ramp = 40 + np.arange(size)
    one = np.moveaxis(np.broadcast_to(ramp[:, None, None], (size, size, 1)), 0, axis).astype(np.uint8)
    frames = near_duplicates(one, 200, drawn()).astype(float)
    reach = SHIFT_SHARE * size
    inner = slice(4, -4)
    profiles = frames.mean(axis=(2 - axis, 3))[:, inner]
    slopes, starts = np.polynomial.polynomial.polyfit(np.arange(size)[inner], profiles.T, 1)[::-1]
    shifts = 40 - starts / slopes
    fuzzy_px = 0.25  # of a fit through noise
    assert abs(shifts[0]) < fuzzy_px
    assert slopes[0] == pytest.approx(1, abs=0.01)
    assert np.abs(shifts).max() == pytest.approx(reach, abs=fuzzy_px)
    assert np.abs(slopes - 1).max() == pytest.approx(LIGHT_SHARE, rel=0.2)
    assert np.abs(np.diff(shifts)).max() < 1.6 * reach, "it walks, it does not jump"
    assert len(set(np.round(shifts % 1, 1))) > 5, "by fractions of a pixel"
    ends = frames.mean(axis=(2 - axis, 3))[:, [0, -1]]
    bright = slopes[:, None] * ramp[[0, -1]]
    assert np.abs(ends - bright).max() < reach + 1, "what comes in is the picture's mirror image, not its other end"
