"""Reuse of answers: what a distance does to scenes, the test of it, and which distance a bundle gets."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle, Manifest
from hybrid_model.bundle.reuse import ALPHA, DELTA, SCENES_MIN
from hybrid_model.calibration.reuse import (
    FRAMES,
    SCENES_MAX,
    Scene,
    fit_reuse,
    hoeffding_bentkus,
    longest_distance,
    replayed,
    rising_scenes,
    walked_distances,
)
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.cut import differing_bits
from hybrid_model.data import Dataset
from hybrid_model.runtime import EdgeEngine

SCENES = st.lists(
    st.lists(st.tuples(st.binary(min_size=2, max_size=2), st.integers(0, 2)), min_size=1, max_size=6), max_size=5
)


def scene(*samples: tuple[bytes, int]) -> Scene:
    return Scene(0, range(len(samples)), [features for features, _ in samples], [own for _, own in samples])


# A distance on scenes


def test_an_answer_holds_from_one_that_rose_to_the_next_that_is_too_far() -> None:
    still = scene((b"\x00", 1), (b"\x01", 1), (b"\x03", 2), (b"\x07", 2), (b"\x06", 0))
    found = replayed([still], 2)
    assert found.classes == [[1, 1, 1, 2, 2]], "the third is two bits from the first, the fourth three"
    assert (found.reused, found.changed) == ([3], [2])


def test_a_reused_sample_is_no_anchor() -> None:
    """Else a scene that changes bit by bit would have one answer for ever."""
    creeping = scene(*((((1 << n) - 1).to_bytes(2), n) for n in range(16)))
    assert replayed([creeping], 3).classes == [[0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12]]


def test_a_scene_may_take_the_answer_of_the_one_before_it() -> None:
    found = replayed([scene((b"\x00", 1), (b"\xff", 1)), scene((b"\xfe", 2), (b"\x00", 2))], 1)
    assert found.classes == [[1, 1], [1, 2]]
    assert (found.reused, found.changed) == ([0, 1], [0, 1])


def test_without_scenes_there_is_nothing_to_take() -> None:
    assert replayed([], 5) == dataclasses.replace(replayed([scene((b"", 0))], 0), reused=[], changed=[], classes=[])


@given(SCENES, st.integers(0, 16))
def test_a_replay_counts_each_sample_once(drawn: list[list[tuple[bytes, int]]], distance: int) -> None:
    scenes = [scene(*samples) for samples in drawn]
    found = replayed(scenes, distance)
    assert [len(given) for given in found.classes] == [len(one.classes) for one in scenes]
    for changed, reused, one in zip(found.changed, found.reused, scenes, strict=True):
        assert 0 <= changed <= reused <= len(one.classes)
    risen = [own for one in scenes for own in one.classes]
    if risen:
        assert replayed(scenes, 16).reused == [len(one.classes) - (one is scenes[0]) for one in scenes]
        assert {given for each in replayed(scenes, 16).classes for given in each} == {risen[0]}


@given(SCENES)
def test_at_no_distance_only_the_same_features_have_the_same_answer(drawn: list[list[tuple[bytes, int]]]) -> None:
    """As a cloud half answers: the features alone say which class. Then nothing changes."""
    scenes = [scene(*((features, features[0] % 3) for features, _ in samples)) for samples in drawn]
    assert sum(replayed(scenes, 0).changed) == 0
    flat = [features for one in scenes for features in one.features]
    assert sum(replayed(scenes, 0).reused) == sum(a == b for a, b in itertools.pairwise(flat))


# The p-value


@given(st.floats(0, 1), st.integers(1, 400), st.floats(0.01, 0.5))
def test_a_p_value_is_a_share(mean: float, count: int, alpha: float) -> None:
    assert 0.0 <= hoeffding_bentkus(mean, count, alpha) <= 1.0


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 400), st.floats(0.01, 0.5))
def test_a_greater_loss_never_has_the_lesser_p_value(one: float, other: float, count: int, alpha: float) -> None:
    low, high = sorted((one, other))
    assert hoeffding_bentkus(low, count, alpha) <= hoeffding_bentkus(high, count, alpha) * (1 + 1e-9)


@given(st.floats(0, 0.04), st.integers(1, 200))
def test_more_scenes_of_a_loss_below_alpha_say_it_more_clearly(mean: float, count: int) -> None:
    assert hoeffding_bentkus(mean, 50 * count, ALPHA) <= hoeffding_bentkus(mean, count, ALPHA) * (1 + 1e-9)


@given(st.floats(0.05, 1), st.integers(1, 400))
def test_a_loss_of_alpha_or_more_speaks_for_nothing(mean: float, count: int) -> None:
    assert hoeffding_bentkus(mean, count, ALPHA) >= 0.5


def test_its_two_bounds_by_hand() -> None:
    assert hoeffding_bentkus(0.0, 10, 0.1) == pytest.approx(0.9**10), "both say so where nothing was lost; e P is more"
    for mean, least_count in ((0.02, 2), (0.025, 3)):
        divergence = mean * math.log(mean / 0.1) + (1 - mean) * math.log((1 - mean) / 0.9)
        below = sum(math.comb(100, k) * 0.1**k * 0.9 ** (100 - k) for k in range(least_count + 1))
        assert hoeffding_bentkus(mean, 100, 0.1) == pytest.approx(min(math.exp(-100 * divergence), math.e * below))


def test_so_many_scenes_are_needed_for_anything_to_pass() -> None:
    assert hoeffding_bentkus(0.0, SCENES_MIN, ALPHA) <= DELTA < hoeffding_bentkus(0.0, SCENES_MIN - 1, ALPHA)


@pytest.mark.parametrize("steps", [1, 2, 8, None])
@pytest.mark.parametrize("count", [60, 300])
def test_a_distance_that_loses_alpha_passes_no_more_often_than_promised(steps: int | None, count: int) -> None:
    """Losses of mean alpha: of whole scenes, of shares in steps as `FRAMES` makes them, and of any share."""
    rng, runs = np.random.default_rng(0), 4000
    if steps is None:
        losses = rng.beta(ALPHA, 1 - ALPHA, (runs, count))
    else:
        losses = rng.binomial(steps, ALPHA, (runs, count)) / steps
    passed = sum(hoeffding_bentkus(float(mean), count, ALPHA) <= DELTA for mean in losses.mean(axis=1))
    assert passed / runs <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / runs)


# The test of distances


def p_value(scenes: Sequence[Scene], distance: int) -> float:
    """Of that distance on its own, reckoned anew."""
    losses, last = [], (b"", -1)
    for one in scenes:
        lost = 0
        for features, own in zip(one.features, one.classes, strict=True):
            if not last[0] or differing_bits(last[0], features) > distance:
                last = (features, own)
            lost += last[1] != own
        losses.append(lost / len(one.features))
    return hoeffding_bentkus(float(np.mean(losses)), len(losses), ALPHA)


def jittered(count: int, *, other_at: int = 5) -> list[Scene]:
    """Scenes whose frame number n is n bits off the first, in places of its own; that at `other_at` is of other class.

    Each begins 40 bits from where the one before it was.
    """
    frames = [((1 << far) - 1) << (6 * far) for far in range(6)]
    places = [((1 << 20) - 1) << (40 + 20 * (number % 20)) for number in range(count)]
    return [
        scene(*(((frame | place).to_bytes(64, "big"), int(far == other_at)) for far, frame in enumerate(frames)))
        for place in places
    ]


def test_the_distance_is_the_last_before_the_first_that_fails() -> None:
    scenes = jittered(100)
    found = longest_distance(scenes, range(10))
    assert found is not None
    assert found.distance_bits == 4, "at five the last of six frames gets the class of the first"
    assert p_value(scenes, 4) <= DELTA < p_value(scenes, 5)
    assert (found.scenes, found.samples) == (100, 600)
    assert (found.reused_share, found.changed_share) == (pytest.approx(4 / 6), 0.0)


def test_no_distance_behind_one_that_fails_is_taken() -> None:
    """Though it would pass by itself: the order was fixed beforehand."""
    scenes = jittered(100)
    assert p_value(scenes, 3) <= DELTA
    found = longest_distance(scenes, [0, 5, 3])
    assert found is not None
    assert found.distance_bits == 0


def test_where_even_the_same_features_get_another_class_there_is_no_distance() -> None:
    scenes = [scene((bytes([number]), 0), (bytes([number]), 1)) for number in range(100)]
    assert longest_distance(scenes, [0, 1]) is None


def test_scenes_are_needed_for_a_distance() -> None:
    scenes = jittered(SCENES_MIN)
    assert longest_distance(scenes, [0]) is not None
    assert longest_distance(scenes[1:], [0]) is None


# Of bundles


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits", progress=False)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return bundle_file.load(bundle_file.resolve("digits"), cloud=True)


@pytest.fixture(scope="module")
def hardest(shipped: Bundle) -> Bundle:
    """The shipped digits, at thresholds that let nobody leave."""
    exits = tuple(one.model_copy(update={"threshold": 0.0}) for one in shipped.manifest.exits)
    return dataclasses.replace(shipped, manifest=shipped.manifest.model_copy(update={"exits": exits}))


@pytest.fixture(scope="module")
def scenes(hardest: Bundle, digits: Dataset) -> list[Scene]:
    return list(rising_scenes(hardest, digits.test.x, scenes_max=SCENES_MAX))


def test_a_scene_is_of_a_picture_that_rises_and_of_frames_that_rise(shipped: Bundle, digits: Dataset) -> None:
    x = digits.test.x
    hard = np.flatnonzero(EdgeEngine(shipped).infer(x).exit_index < 0).tolist()
    found = list(rising_scenes(shipped, x, scenes_max=1000))
    pictures = [one.picture for one in found]
    assert set(pictures) <= set(hard)
    assert pictures == sorted(set(pictures))
    assert len(pictures) > 0.9 * len(hard), "hardly any has frames that all leave"
    cloud = CloudHalf(shipped)
    for one in found[:20]:
        assert 1 <= len(one.features) == len(one.frames) <= FRAMES
        assert list(one.frames) == sorted(set(one.frames))
        assert cloud.infer(one.features)[0].tolist() == list(one.classes)
    assert any(len(one.features) < FRAMES for one in found), "some frames are easier than their picture"


def test_the_same_pictures_give_the_same_scenes_and_fewer_are_the_first_of_them(
    hardest: Bundle, digits: Dataset, scenes: list[Scene]
) -> None:
    assert list(rising_scenes(hardest, digits.test.x, scenes_max=7)) == scenes[:7]
    assert all(len(one.features) == FRAMES for one in scenes), "nobody leaves"
    assert [len(one.features) for one in rising_scenes(hardest, digits.test.x, scenes_max=2, frames=3)] == [3, 3]


def test_distances_go_from_none_to_a_quarter_of_the_bits(shipped: Bundle) -> None:
    bits = 8 * shipped.manifest.cut.bytes
    distances = walked_distances(shipped)
    assert (distances[0], distances[-1]) == (0, bits // 4)
    assert distances == sorted(set(distances))


def test_digits_that_all_rise_are_easy_for_the_cloud_half_and_any_distance_holds(
    hardest: Bundle, digits: Dataset, scenes: list[Scene]
) -> None:
    found = fit_reuse(hardest, digits.test.x)
    assert found == longest_distance(scenes, walked_distances(hardest))
    assert found is not None
    assert found.distance_bits == walked_distances(hardest)[-1]
    replay = replayed(scenes, found.distance_bits)
    samples = FRAMES * len(scenes)
    assert (found.scenes, found.samples) == (len(scenes), samples)
    assert (found.reused_share, found.changed_share) == (sum(replay.reused) / samples, sum(replay.changed) / samples)


def test_fewer_scenes_than_a_test_needs_give_no_distance(hardest: Bundle, digits: Dataset) -> None:
    assert fit_reuse(hardest, digits.test.x[: SCENES_MIN - 1]) is None
    assert fit_reuse(hardest, digits.test.x[:0]) is None


def test_the_shipped_digits_have_none_since_too_few_of_their_samples_rise(shipped: Bundle, digits: Dataset) -> None:
    assert shipped.manifest.reuse is None
    assert len(list(rising_scenes(shipped, digits.calibration.x, scenes_max=SCENES_MAX))) < SCENES_MIN
    assert fit_reuse(shipped, digits.calibration.x) is None


def test_readings_and_uncalibrated_networks_have_none(hardest: Bundle, digits: Dataset) -> None:
    assert fit_reuse(hardest, digits.test.x.astype(np.float32)) is None
    fresh = dataclasses.replace(hardest, manifest=hardest.manifest.model_copy(update={"calibration": None}))
    assert fit_reuse(fresh, digits.test.x) is None


def test_a_distance_is_kept_in_the_file_and_is_no_part_of_the_network_id(
    shipped: Bundle, hardest: Bundle, digits: Dataset, tmp_path: Path
) -> None:
    found = fit_reuse(hardest, digits.test.x)
    changed = shipped.manifest.model_copy(update={"reuse": found})
    network_id = bundle_file.save(tmp_path / "with.dew", changed, shipped.edge, shipped.cloud)
    assert network_id == shipped.manifest.network_id
    assert bundle_file.load(tmp_path / "with.dew").manifest.reuse == found
    assert Manifest.from_json_bytes(changed.to_json_bytes()) == changed


@pytest.mark.data
@pytest.mark.long
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_shipped_distances_are_those_that_calibration_finds(name: str) -> None:
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs CIFAR: point $DEWPOINT_DATA at a folder that has it")
    loaded = bundle_file.load(bundle_file.resolve(name), cloud=True)
    scenes = list(rising_scenes(loaded, data.load(name, progress=False).calibration.x, scenes_max=SCENES_MAX))
    distances = walked_distances(loaded)
    found = longest_distance(scenes, distances)
    assert found is not None
    assert found == loaded.manifest.reuse
    place = distances.index(found.distance_bits)
    assert p_value(scenes, found.distance_bits) <= DELTA < p_value(scenes, distances[place + 1])
    assert 0 < found.changed_share < ALPHA
