"""The population stability index and what it reaches by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model import bundle
from hybrid_model.bundle.calibration import Histogram
from hybrid_model.monitoring import Reference, null_quantile


def histogram(*counts: int) -> Histogram:
    return Histogram(edges=tuple(float(n) for n in range(len(counts) + 1)), counts=counts)


def shipped(name: str) -> Reference:
    calibration = bundle.load(bundle.resolve(name)).manifest.calibration
    assert calibration is not None
    return Reference(calibration.histogram[0])


def test_the_index_of_two_bins_by_hand():
    reference = Reference(histogram(500, 500))
    # With half a sample added to each count: p = 1/2; q = 300.5/401 and 100.5/401.
    expected = (300.5 / 401 - 0.5) * math.log(300.5 / 401 / 0.5) + (100.5 / 401 - 0.5) * math.log(100.5 / 401 / 0.5)
    assert reference.psi([300, 100]) == pytest.approx(expected)
    assert reference.psi([200, 200]) == pytest.approx(0.0, abs=1e-9)


def test_an_empty_bin_is_no_infinity():
    assert 0 < Reference(histogram(100, 100)).psi([0, 400]) < 10


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40))
def test_bins_are_about_ten_of_about_equal_counts_and_none_is_empty(counts):
    reference = Reference(histogram(*counts))
    assert reference.counts.sum() == reference.samples == sum(counts)
    assert len(reference.counts) == len(reference.inner_edges) + 1 <= 10
    assert len(reference.counts) == 1 or reference.counts.min() > 0
    assert (np.diff(reference.inner_edges) > 0).all()


def test_a_thousand_bins_become_ten_equal_ones():
    assert Reference(histogram(*[3] * 1000)).counts.tolist() == [300] * 10


def test_few_samples_make_few_bins():
    assert Reference(histogram(*[2] * 20)).counts.tolist() == [10] * 4


@pytest.mark.parametrize("counts", [(0, 0, 0), (7,), (15, 0), (2, 3)])
def test_samples_too_few_or_too_alike_make_no_reference(counts):
    assert Reference.usable(histogram(*counts)) is None


def test_a_score_falls_into_the_bin_that_begins_with_it_and_beyond_the_edges_into_the_outer_ones():
    reference = Reference(histogram(100, 100, 100))
    assert reference.inner_edges.tolist() == [1.0, 2.0]
    assert reference.bins_of(np.array([-5.0, 0.0, 0.99, 1.0, 1.5, 2.0, 99.0])).tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "har"])
def test_shipped_bundles_have_ten_bins(name):
    assert len(shipped(name).counts) == 10


def test_the_quantile_counts_the_chance_of_both_samples():
    few, many = null_quantile(400, 144, 10, 0.99), null_quantile(400, 10**9, 10, 0.99)
    assert few == pytest.approx((1 / 400 + 1 / 144) * 21.666, rel=0.01), "chi-squared, 9 degrees of freedom"
    assert many == pytest.approx(21.666 / 400, rel=0.01)


@pytest.mark.parametrize("arguments", [(0, 1, 2), (1, 0, 2), (1, 1, 1)])
def test_there_is_no_quantile_of_nothing(arguments):
    with pytest.raises(ValueError, match="no distribution"):
        null_quantile(*arguments, 0.99)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
@pytest.mark.parametrize("samples", [200, 400])
def test_by_chance_the_index_passes_its_threshold_about_as_often_as_it_says(name, samples):
    """Both samples drawn: what the calibration split's bins hold of a population, and then a window of it."""
    reference, quantile, looks = shipped(name), 0.999, 60_000
    random = np.random.default_rng(0)
    population = random.dirichlet(reference.counts, looks)
    windows = random.multinomial(samples, population)
    p = (reference.counts + 0.5) / (reference.counts + 0.5).sum()
    q = (windows + 0.5) / (samples + 0.5 * len(p))
    index = ((q - p) * np.log(q / p)).sum(axis=1)
    assert index[0] == pytest.approx(reference.psi(windows[0]))
    passed = (index > reference.threshold(samples, quantile)).mean()
    assert 0.0004 < passed < 0.0016
