"""The fifteen corruptions: what goes in and comes out, and that it is the same everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.corruptions import CAMERA, KINDS, SEVERITIES, CorruptionError, corrupt, photograph

#: Farther from the original at the first severity than at the last, as published: pixels are sheared less, or smoothed.
FIRST_IS_FARTHEST = {"elastic_transform", "glass_blur"}

#: Of `corrupt(scenes(2), kind, 3)`. JPEG is not among them: its pixels depend on the version of the library.
DIGESTS = {
    "gaussian_noise": "96cee6a4af5e3375",
    "shot_noise": "3ee2e06df31184ea",
    "impulse_noise": "fa584ed63bc98581",
    "defocus_blur": "312eab1ceb24bedb",
    "glass_blur": "19429b92b0953274",
    "motion_blur": "d800684f3f5ce94a",
    "zoom_blur": "a888a0e27e8789f0",
    "snow": "c0471dc74c106536",
    "frost": "cc4abb0342c31274",
    "fog": "333919592fc6be8a",
    "brightness": "4114596fce831e65",
    "contrast": "764bf7a991ce39dc",
    "elastic_transform": "5f7df3344daa2814",
    "pixelate": "f9345f20da68d21f",
}


def scenes(count=6, side=32, channels=3):
    """Pictures of a disk and a few stripes on a slope of light, whole numbers throughout."""
    row, column = np.mgrid[0:side, 0:side]
    pictures = np.empty((count, side, side, channels), dtype=np.uint8)
    for number in range(count):
        far = (row - side // 2 - number % 3) ** 2 + (column - side // 2 + number) ** 2
        disk = far * 9 < side**2
        for channel in range(channels):
            light = 40 + (row * (channel + 1) + column * 2) * 20 // side
            stripes = 30 * ((row + (number + 1) * column) // max(2, side // 8) % 2)
            pictures[number, :, :, channel] = np.where(disk, 200 - 35 * channel, light + stripes)
    return pictures


def distance(x, y):
    return np.abs(x.astype(int) - y.astype(int)).mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 32])
def test_every_kind_changes_pictures_and_leaves_their_form(kind, side, channels):
    x = scenes(side=side, channels=channels)
    kept = x.copy()
    for severity in SEVERITIES:
        found = corrupt(x, kind, severity)
        assert found.dtype == np.uint8
        assert found.shape == x.shape
        assert (found != x).any()
    assert np.array_equal(x, kept), "the original was written to"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - FIRST_IS_FARTHEST))
def test_a_higher_severity_is_farther_from_the_original(kind):
    x = scenes(24) // 2
    first, last = (distance(x, corrupt(x, kind, severity)) for severity in (1, 5))
    assert last > 1.2 * first


@given(
    kind=st.sampled_from(sorted(KINDS)),
    severity=st.sampled_from(SEVERITIES),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
    channels=st.sampled_from((1, 3)),
    order=st.permutations(range(3)),
)
def test_a_picture_is_corrupted_alike_in_every_batch(kind, severity, height, width, channels, order):
    x = np.random.RandomState(7).randint(0, 256, (3, height, width, channels)).astype(np.uint8)
    whole = corrupt(x, kind, severity, index=[5, 6, 900])
    numbers = np.array([5, 6, 900])[list(order)]
    assert np.array_equal(corrupt(x[list(order)], kind, severity, index=numbers), whole[list(order)])
    assert np.array_equal(corrupt(x[2:], kind, severity, index=[900]), whole[2:])


def test_more_pictures_than_fit_one_batch_are_numbered_through():
    x = np.tile(scenes(1), (260, 1, 1, 1))
    whole = corrupt(x, "gaussian_noise", 1)
    assert np.array_equal(whole[250:], corrupt(x[250:], "gaussian_noise", 1, index=np.arange(250, 260)))
    assert len({picture.tobytes() for picture in whole}) == 260, "two samples have the same noise"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"jpeg_compression"}))
def test_the_pictures_are_those_of_every_machine(kind):
    assert hashlib.sha256(corrupt(scenes(2), kind, 3).tobytes()).hexdigest()[:16] == DIGESTS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_are_pictures_too(kind, level):
    x = np.full((2, 9, 12, 3), level, dtype=np.uint8)
    assert corrupt(x, kind, 5).shape == x.shape


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "glass_blur", "zoom_blur"])
def test_a_blur_reaches_as_far_in_a_larger_picture(kind):
    small = scenes(4)
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    ratio = distance(large, corrupt(large, kind, 5)) / distance(small, corrupt(small, kind, 5))
    assert 0.7 < ratio < 1.4


def test_no_pictures_are_no_trouble():
    assert corrupt(scenes(0), "snow", 1).shape == (0, 32, 32, 3)


def test_the_strengths_are_those_of_the_publication():
    grey = np.full((40, 32, 32, 3), 128, dtype=np.uint8)
    deviations = [corrupt(grey, "gaussian_noise", severity).std() / 255 for severity in SEVERITIES]
    assert deviations == pytest.approx([0.04, 0.06, 0.08, 0.09, 0.10], rel=0.01)
    impulses = [((corrupt(grey, "impulse_noise", severity) != 128).mean()) for severity in SEVERITIES]
    assert impulses == pytest.approx([0.01, 0.02, 0.03, 0.05, 0.07], rel=0.05)
    photons = [128 * 255 / corrupt(grey, "shot_noise", severity).var() for severity in SEVERITIES]
    assert photons == pytest.approx([500, 250, 100, 75, 50], rel=0.04)
    brighter = [corrupt(grey, "brightness", severity).mean() - 128 for severity in SEVERITIES]
    assert brighter == pytest.approx([12.75, 25.5, 38.25, 51, 76.5], abs=0.5)
    halves = np.repeat(np.array([28, 228], dtype=np.uint8), 16)[None, :, None, None] * np.ones((1, 1, 32, 3), np.uint8)
    spans = [int(np.ptp(corrupt(halves, "contrast", severity))) for severity in SEVERITIES]
    assert spans == pytest.approx([150, 100, 80, 60, 30], abs=1)


def test_hue_stays_when_a_picture_gets_brighter():
    x = np.array([40, 20, 10], dtype=np.uint8) * np.ones((1, 8, 8, 1), np.uint8)
    found = corrupt(x, "brightness", 5)[0, 0, 0].astype(float)
    assert found / found[0] == pytest.approx([1, 0.5, 0.25], abs=0.01)


@pytest.mark.parametrize("camera", CAMERA)
def test_a_camera_delivers_pictures_of_the_same_form(camera):
    x = scenes(3)
    found = photograph(x, camera)
    assert found.dtype == np.uint8
    assert found.shape == x.shape
    assert np.array_equal(photograph(x[1:], camera, index=[1, 2]), found[1:])
    assert 0.5 < distance(x, found) < 10


def test_the_noise_of_a_camera_has_eight_grey_levels():
    grey = np.full((20, 32, 32, 1), 128, dtype=np.uint8)
    assert photograph(grey, "noise_8").std() == pytest.approx(8, rel=0.02)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros((2, 1, 128, 9), dtype=np.float32), "no pictures"),
        (np.zeros((2, 32, 32, 2), dtype=np.uint8), "grey"),
        (np.zeros((2, 7, 32, 3), dtype=np.uint8), "at least 8x8"),
        (np.zeros((32, 32, 3), dtype=np.uint8), "no pictures"),
    ],
)
def test_what_is_no_picture_is_refused(samples, reason):
    with pytest.raises(CorruptionError, match=reason):
        corrupt(samples, "fog", 1)


def test_a_mistake_is_told_with_what_there_is():
    x = scenes(2)
    with pytest.raises(CorruptionError, match="no corruption is called 'rain'; take gaussian_noise"):
        corrupt(x, "rain", 1)
    with pytest.raises(CorruptionError, match="no severity 0; take 1 to 5"):
        corrupt(x, "fog", 0)
    with pytest.raises(CorruptionError, match="2 samples need 2 numbers"):
        corrupt(x, "fog", 1, index=[4])
    with pytest.raises(CorruptionError, match="no camera is called 'phone'; take jpeg_60, noise_8"):
        photograph(x, "phone")
