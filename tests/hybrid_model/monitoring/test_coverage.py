"""The interval of the live disagreement covers what auditing everything would have found."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hybrid_model import bundle, data
from hybrid_model.evaluation import answers
from hybrid_model.intervals import wilson_interval

RUNS = 1000


@cache
def disagrees(name: str, count: int, *, all_leave: bool) -> np.ndarray:
    """Of the samples of a test split that leave at the edge, which get another class from the cloud half, (N,) bool."""
    loaded = bundle.load(bundle.resolve(name), cloud=True)
    split = data.load(name).split("test")
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    said = answers(loaded, split.x[rows])
    left = np.full(len(rows), True) if all_leave else said.exit_index >= 0
    return (said.exit_class[:, 0] != said.cloud_class)[left]


def covered(audited: np.ndarray, disagreed: np.ndarray, rate: np.ndarray) -> int:
    """In how many runs the interval holds `rate`, of so many audited samples and disagreements; each (RUNS,)."""
    assert audited.min() >= 500
    intervals = [wilson_interval(k / n, int(n)) for k, n in zip(disagreed, audited, strict=True)]
    return sum(low <= truth <= high for (low, high), truth in zip(intervals, rate, strict=True))


@pytest.mark.data
@pytest.mark.parametrize(("name", "stream"), [("digits", 150_000), ("cifar10", 100_000)])
def test_of_a_thousand_runs_with_an_audited_hundredth_at_least_930_intervals_cover(name, stream):
    """A stream is drawn from the network's real answers with replacement, and each sample audited by chance.

    Then the counts are binomial: of disagreements in the stream, and of both kinds among the audited.
    """
    pool, share, random = disagrees(name, 500, all_leave=name == "digits"), 0.01, np.random.default_rng(1)
    assert pool.mean() * share * stream >= 10, "disagreements that are to be expected"
    among = random.binomial(stream, pool.mean(), RUNS)
    disagreed = random.binomial(among, share)
    audited = disagreed + random.binomial(stream - among, share)
    assert covered(audited, disagreed, among / stream) >= 930


@pytest.mark.data
@pytest.mark.long
def test_of_a_thousand_runs_with_an_audited_tenth_at_least_930_intervals_cover():
    """As above, sample by sample."""
    pool, share, stream, random = disagrees("cifar10", 500, all_leave=False), 0.1, 8000, np.random.default_rng(2)
    assert pool.mean() * share * stream >= 10
    rate, audited, disagreed = np.zeros(RUNS), np.zeros(RUNS), np.zeros(RUNS)
    for run in range(RUNS):
        drawn = pool[random.integers(0, len(pool), stream)]
        chosen = drawn[random.random(stream) < share]
        rate[run], audited[run], disagreed[run] = drawn.mean(), len(chosen), chosen.sum()
    assert covered(audited, disagreed, rate) >= 930
