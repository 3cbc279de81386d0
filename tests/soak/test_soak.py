"""A minute at half the capacity: nothing is lost, and no worker collects descriptors or threads."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from tests.soak import meter
from tests.soak.driver import Options, run
from tests.soak.meter import Reading


def test_growth_is_told_by_the_hour():
    readings = [Reading(seconds=60.0 * n, rss_mb=100 + 0.5 * n, fds=20, threads=7 - (n % 2)) for n in range(30)]
    assert meter.slopes_per_hour(readings)["rss_mb"] == pytest.approx(30.0)
    assert meter.slopes_per_hour(readings)["fds"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_at_half_the_capacity_nothing_is_lost_and_nothing_piles_up():
    figures, readings = run(Options(minutes=1.0, period_s=2.0, capacity_samples=1000), Console(file=io.StringIO()))
    assert figures["samples"] == figures["finals"] > 0
    assert figures["lost"] == 0
    assert {"edge", "cloud-1", "cloud-2"} <= readings.keys()
    for name, found in figures["processes"].items():
        assert found["last"]["fds"] <= found["first"]["fds"] + 5, name
        assert found["last"]["threads"] <= found["first"]["threads"] + 2, name
        assert found["last"]["rss_mb"] <= 1.2 * found["first"]["rss_mb"] + 20, name
