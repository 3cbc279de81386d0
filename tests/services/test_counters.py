"""Every counter is moved by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from prometheus_client import Counter

from services.metrics import CloudMetrics, EdgeMetrics
from tests.services.counters import MOVED_BY, moved_counters, must_move

ROOT = Path(__file__).parents[2]


def counters(metrics: EdgeMetrics | CloudMetrics) -> set[str]:
    return {f"{one._name}_total" for one in vars(metrics).values() if isinstance(one, Counter)}


def test_every_counter_has_a_test_that_moves_it() -> None:
    assert set(MOVED_BY) == counters(EdgeMetrics()) | counters(CloudMetrics())


@pytest.mark.parametrize("test", sorted(set(MOVED_BY.values())))
def test_that_test_exists_and_is_not_a_long_one(test: str) -> None:
    path, _, name = test.partition("::")
    found = [one for one in ast.parse((ROOT / path).read_text()).body if isinstance(one, ast.FunctionDef)]
    [function] = [one for one in found if one.name == name]
    assert not any("long" in ast.unparse(one) for one in function.decorator_list)


def test_a_counter_that_stands_still_is_told_from_one_that_moves() -> None:
    metrics = EdgeMetrics()
    with moved_counters() as moved:
        metrics.drops.labels(reason="oversized").inc()
        metrics.lone_runs.inc(0)
    metrics.messages_acknowledged.inc()
    assert moved == {"dewpoint_drops_total"}
    assert metrics.registry.get_sample_value("dewpoint_drops_total", {"reason": "oversized"}) == 1


def test_the_parameters_of_a_test_do_not_hide_it() -> None:
    test = MOVED_BY["dewpoint_samples_received_total"]
    assert must_move(f"{test}[nats]") == must_move(test) >= {"dewpoint_samples_received_total"}
