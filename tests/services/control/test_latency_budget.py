"""A latency budget: the exits stand at their base, give way when the cloud falls behind, and come back."""

from __future__ import annotations

import pytest

from services.budgets import Tally
from tests.services.control.streams import Cloud, Stream, controller, path_of


@pytest.mark.parametrize("budget_ms", [1000.0, 2000.0])
def test_with_half_of_the_cloud_gone_latency_is_back_within_its_budget_and_stays_there(budget_ms):
    stream = Stream(path_of("cifar10"))
    cloud = Cloud(stream, per_s=100.0)
    keeper = controller(stream.path, "latency_p99_ms", budget_ms)
    base = stream.path.working_point
    list(cloud.seconds(keeper, 60))
    assert keeper.position == pytest.approx(base, abs=1.0), "64 of 200 rise, 100 can be answered: no reason to give way"

    cloud.per_s = 35.0
    seconds = list(cloud.seconds(keeper, 120))

    p99s = [p99_ms for _, p99_ms in seconds]
    assert max(p99s) > budget_ms, "it was an overload"
    assert max(p99s[30:]) <= budget_ms
    rose = sum(counted.escalated for counted, _ in seconds[30:]) / 90
    assert 20 < rose < 36, "what the cloud can do is used"

    cloud.per_s = 100.0
    list(cloud.seconds(keeper, 120))
    assert keeper.position == pytest.approx(base, abs=1.5)


def test_where_every_answer_is_slower_than_the_budget_hardly_anything_rises_and_it_is_told():
    stream = Stream(path_of("cifar10"))
    cloud = Cloud(stream, per_s=1000.0, least_s=3.0)
    keeper = controller(stream.path, "latency_p99_ms", 500.0, high=36)

    list(cloud.seconds(keeper, 300))

    assert keeper.position == 36
    assert keeper.saturated


def test_a_latency_within_its_budget_takes_no_sample_from_the_cloud():
    keeper = controller(path_of("cifar10"), "latency_p99_ms", 5000.0)
    base = keeper.position

    for _ in range(100):
        keeper.step(Tally(1.0, 200, 64, answered=64), p99_ms=300.0, waiting=20)

    assert keeper.position == base
    assert keeper.measured == 300.0
