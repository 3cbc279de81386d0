"""Quantiles of the latest latencies, to a few per cent, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from services.control import Latencies


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_quantiles_are_right_to_three_per_cent():
    latencies = Latencies(clock=Clock())
    values = np.random.default_rng(0).lognormal(-2, 1, 5000)
    latencies.add(values)
    for q in (0.5, 0.9, 0.99):
        assert latencies.quantile_s(q) == pytest.approx(np.quantile(values, q), rel=0.04)


def test_what_is_older_than_ten_seconds_counts_no_more():
    clock = Clock()
    latencies = Latencies(seconds=10, clock=clock)
    latencies.add([5.0] * 100)
    clock.now += 9.0
    latencies.add([0.1] * 100)
    assert latencies.quantile_s(0.99) == pytest.approx(5.0, rel=0.03)
    clock.now += 1.0
    assert latencies.quantile_s(0.99) == pytest.approx(0.1, rel=0.03)
    clock.now += 1000.0
    assert latencies.quantile_s(0.99) is None


@pytest.mark.parametrize("latency_s", [0.0, -1.0, 1e9])
def test_no_latency_is_out_of_range(latency_s):
    latencies = Latencies(clock=Clock())
    latencies.add([latency_s])
    assert latencies.quantile_s(0.99) is not None
