from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.sources.camera.motion import MotionGate, changed_share, outline
from tests.services.sources.videos import pictures

OUTLINES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)))


@given(OUTLINES)
def test_nothing_has_changed_between_a_picture_and_itself(picture):
    assert changed_share(picture, picture) == 0


@given(OUTLINES, st.data())
def test_the_share_is_that_of_the_pixels_that_differ_and_the_same_both_ways(picture, data):
    changed = data.draw(arrays.arrays(np.bool_, picture.shape))
    after = np.where(changed, picture + np.uint8(128), picture)  # wraps: 128 levels up or down
    assert changed_share(picture, after) == changed_share(after, picture) == pytest.approx(changed.mean())


@given(OUTLINES, st.integers(-15, 15))
def test_noise_and_light_below_the_limit_are_no_motion(picture, levels):
    assert changed_share(picture, np.clip(picture.astype(int) + levels, 0, 255).astype(np.uint8)) == 0


@given(st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_an_outline_is_small_and_keeps_the_proportions(size):
    found = outline(np.zeros((*size, 3), np.uint8)).shape
    assert max(found) <= 160
    assert found == size or max(found) == 160


def test_noise_of_single_pixels_averages_out_in_the_outline():
    random = np.random.default_rng(0)
    still = np.full((480, 640, 3), 120.0)
    first, second = (np.clip(still + random.normal(0, 12, still.shape), 0, 255).astype(np.uint8) for _ in range(2))
    assert changed_share(outline(first), outline(second)) == 0


def test_a_picture_of_another_size_has_changed():
    assert changed_share(np.zeros((3, 3), np.uint8), np.zeros((3, 4), np.uint8)) == 1


def test_only_what_moves_passes():
    digit, other = pictures(2)
    gate = MotionGate(0.02, still_s=60)
    assert [gate.passes(frame, time_s) for time_s, frame in enumerate([digit, digit, other, other, digit])] == [
        True, False, True, False, True
    ]  # fmt: skip


def test_a_heartbeat_passes_however_still_it_is():
    digit = pictures(1)[0]
    gate = MotionGate(0.02, still_s=10)
    assert [time_s for time_s in range(0, 35, 3) if gate.passes(digit, time_s)] == [0, 12, 24]


def test_what_creeps_in_passes_once_it_has_come_far_enough():
    """A frame is compared with the last one that was sent, not with the last one that was seen."""
    gate = MotionGate(0.5, still_s=1e9)
    light = [np.full((8, 8, 3), level, np.uint8) for level in range(0, 100, 4)]
    assert [4 * i for i, frame in enumerate(light) if gate.passes(frame, i)] == [0, 16, 32, 48, 64, 80, 96]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.01, 5)), min_size=1, max_size=40), st.floats(0.001, 1))
def test_no_more_than_the_heartbeat_lies_between_what_passes(stream, share_min):
    """Whatever comes: a frame is held back only if it is like the last sent, and that is not long ago."""
    gate, sent, time_s = MotionGate(share_min, still_s=4), None, 0.0
    for which, pause_s in stream:
        time_s += pause_s
        frame = pictures(6)[which]
        if gate.passes(frame, time_s):
            sent = frame, time_s
        else:
            assert changed_share(outline(sent[0]), outline(frame)) < share_min
            assert time_s - sent[1] < 4
