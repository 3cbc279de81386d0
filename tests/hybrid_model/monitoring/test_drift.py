"""Windows of scores by device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.bundle.calibration import Histogram
from hybrid_model.monitoring import Reference, ScoreWindows
from hybrid_model.monitoring.drift import SAMPLES_MIN, WINDOW

REFERENCE = Reference(Histogram(edges=tuple(n / 10 for n in range(11)), counts=(250,) * 10))


def given_to(windows: ScoreWindows, device: str, scores: np.ndarray) -> None:
    windows.add([device] * len(scores), scores)


def test_there_is_no_index_below_two_hundred_samples():
    windows = ScoreWindows(REFERENCE)
    given_to(windows, "cam", np.random.default_rng(0).random(SAMPLES_MIN - 1))
    assert windows.drifts()["cam"].psi is None
    assert windows.drifts() == {}, "nothing came since"
    given_to(windows, "cam", np.array([0.5]))
    found = windows.drifts()["cam"]
    assert found.samples == SAMPLES_MIN
    assert found.psi is not None
    assert found.threshold == REFERENCE.threshold(SAMPLES_MIN)


@given(st.lists(st.integers(0, 500), max_size=8), st.integers(0, 2**32 - 1))
def test_the_index_is_that_of_the_last_four_hundred_scores_however_they_came(sizes, seed):
    random = np.random.default_rng(seed)
    windows, all_scores = ScoreWindows(REFERENCE), [random.random(SAMPLES_MIN)]
    given_to(windows, "cam", all_scores[0])
    for size in sizes:
        scores = random.random(size) ** 2
        all_scores.append(scores)
        given_to(windows, "cam", scores)
        if random.random() < 0.5:
            windows.drifts()
    given_to(windows, "cam", np.array([0.25]))
    latest = np.concatenate([*all_scores, [0.25]])[-WINDOW:]
    found = windows.drifts()["cam"]
    assert found.samples == len(latest)
    assert found.psi == pytest.approx(REFERENCE.psi(np.histogram(latest, bins=10, range=(0, 1))[0]))


def test_devices_that_came_in_one_batch_are_kept_apart():
    windows = ScoreWindows(REFERENCE)
    even, low = np.random.default_rng(0).random(300), np.full(300, 0.05)
    windows.add(["even", "low"] * 300, np.stack([even, low], axis=1).ravel())
    found = windows.drifts()
    assert found["even"].psi < found["even"].threshold < found["low"].psi


def test_a_score_that_is_no_number_is_left_out():
    windows = ScoreWindows(REFERENCE)
    given_to(windows, "cam", np.array([np.nan, 0.5, np.inf]))
    assert windows.drifts()["cam"].samples == 1


def test_what_waits_to_be_sorted_in_is_bounded():
    windows = ScoreWindows(REFERENCE)
    for _ in range(100):
        given_to(windows, "cam", np.zeros(200))
    assert len(windows._pending_names) <= 4096
