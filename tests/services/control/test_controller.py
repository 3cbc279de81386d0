"""The controller keeps budgets on streams that turn harder or easier, and stays where it may stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.budgets import BUDGETS as KINDS
from services.budgets import Tally
from services.budgets.kinds import EscalationBudget
from services.control import Controller
from services.messages import Control
from tests.services.control.streams import COSTS, Stream, controller, path_of, run, total

BUNDLES = ("digits", "cifar10", "har")
#: Each of these allows 40 of 200 samples a second to rise.
BUDGETS = {
    "escalated_share": 0.2,
    "escalations_per_s": 40.0,
    "bytes_per_day": 40 * COSTS.feature_bytes * 86400.0,
    "energy_j_per_sample": 0.8 * COSTS.exits_j[0] + 0.2 * COSTS.cloud_j,
}


def test_every_budget_for_escalations_is_kept_here():
    assert set(BUDGETS) == {name for name, kind in KINDS.items() if isinstance(kind, EscalationBudget)}


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize(("budget", "value"), BUDGETS.items(), ids=str)
def test_a_budget_is_kept_again_half_a_minute_after_the_stream_turned_hard(bundle, budget, value):
    stream = Stream(path_of(bundle))
    keeper = controller(stream.path, budget, value)
    run(keeper, stream, 60)

    stream.harder = 0.8  # harder still, and guards alone hold back more than the budget allows
    steps = run(keeper, stream, 120)

    assert steps[0].escalated / 200 > 0.25, "the stream did turn hard"
    windows = [total(steps[at : at + 10]).escalated / 2000 for at in range(20, 120, 10)]
    assert windows[0] == pytest.approx(0.2, abs=0.02)
    assert windows == pytest.approx([0.2] * len(windows), abs=0.04)
    assert keeper.measured == pytest.approx(value, rel=0.2)
    assert not keeper.saturated


@pytest.mark.parametrize(
    ("target", "slope"),
    # 0.05 at a slope of 0.4 is out of reach: the path ends where guards hold the rest back.
    [(target, slope) for target in (0.05, 0.2, 0.5) for slope in (0.4, 1.0, 3.0) if (target, slope) != (0.05, 0.4)],
)
def test_one_gain_fits_streams_on_which_the_thresholds_do_less_or_more_than_in_calibration(target, slope):
    stream = Stream(path_of("cifar10"), slope=slope)
    keeper = controller(stream.path, "escalated_share", target)

    steps = run(keeper, stream, 300)

    shares = [total(steps[at : at + 20]).escalated / 4000 for at in range(100, 300, 20)]
    assert shares == pytest.approx([target] * 10, abs=0.03 + 0.05 * target)


def test_an_easier_stream_uses_its_budget_again():
    stream = Stream(path_of("cifar10"))
    keeper = controller(stream.path, "escalated_share", 0.2)
    run(keeper, stream, 60)

    stream.harder = -2.0
    steps = run(keeper, stream, 100)

    assert total(steps[40:]).escalated / 12000 == pytest.approx(0.2, abs=0.02)


def test_the_mean_is_kept_on_a_slow_stream_too():
    stream = Stream(path_of("cifar10"), rate=2, harder=1.5)
    keeper = controller(stream.path, "escalated_share", 0.2)

    steps = run(keeper, stream, 2400)

    assert total(steps[600:]).escalated / 3600 == pytest.approx(0.2, abs=0.03)


def test_what_lies_beyond_the_limit_is_not_stored_up():
    stream = Stream(path_of("cifar10"), harder=6.0)
    keeper = controller(stream.path, "escalated_share", 0.2, high=36)
    run(keeper, stream, 600)
    assert keeper.position == 36
    assert keeper.saturated
    assert "36" in keeper.limit

    stream.harder = -1.0
    steps = run(keeper, stream, 60)

    assert keeper.position < 36
    assert total(steps[20:]).escalated / 8000 == pytest.approx(0.2, abs=0.03), "it turned back at once"
    assert not keeper.saturated


def test_at_the_strict_limit_an_unspent_budget_is_no_fault():
    stream = Stream(path_of("cifar10"), harder=-6.0)
    keeper = controller(stream.path, "escalated_share", 0.5, low=3, high=36)

    run(keeper, stream, 120)

    assert keeper.position == 3
    assert keeper.measured is not None
    assert keeper.measured < 0.5
    assert not keeper.saturated


def test_within_the_dead_band_it_does_not_move():
    """40 of 200 rise, give or take less than the band: the exits stay where they are."""
    keeper = controller(path_of("cifar10"), "escalated_share", 0.2)
    stream = Stream(keeper._path)
    run(keeper, stream, 100)
    for _ in range(20):
        keeper.step(Tally(1.0, 200, 40))
    stands = keeper.position

    for second in range(200):
        keeper.step(Tally(1.0, 200, 40 + (1 if second % 2 else -1)))
        assert keeper.position == stands


def test_beyond_the_dead_band_it_moves_and_back_within_it_only_when_it_came_near():
    keeper = controller(path_of("cifar10"), "escalated_share", 0.2)
    for _ in range(40):
        keeper.step(Tally(1.0, 2000, 400))
    stands = keeper.position

    for _ in range(30):
        keeper.step(Tally(1.0, 2000, 410))  # 2.5 % too many: within the band
    assert keeper.position == stands
    for _ in range(30):
        keeper.step(Tally(1.0, 2000, 430))  # 7.5 % too many
    moved = keeper.position
    assert moved > stands
    for _ in range(30):
        keeper.step(Tally(1.0, 2000, 410))  # within it again, but not near: it goes on
    assert keeper.position > moved


def test_seconds_without_samples_move_nothing():
    keeper = controller(path_of("cifar10"), "escalations_per_s", 40.0)
    stands = keeper.position

    for _ in range(50):
        keeper.step(Tally(1.0))

    assert keeper.position == stands
    assert keeper.measured == 0.0


def test_an_overloaded_cloud_shrinks_the_budget():
    stream = Stream(path_of("cifar10"))
    keeper = controller(stream.path, "escalated_share", 0.2)
    run(keeper, stream, 60)

    steps = run(keeper, stream, 60, factor=0.25)

    assert total(steps[20:]).escalated / 8000 == pytest.approx(0.05, abs=0.01)


def test_fixed_stays_at_its_point_whatever_comes():
    path = path_of("cifar10")
    keeper = Controller(
        path=path,
        set_point=Control("fixed", 12),
        costs=COSTS,
        low=0,
        high=path.last,
        base=path.working_point,
        position=30.0,
    )

    run(keeper, Stream(path, harder=3.0), 50, p99_ms=1e6, waiting=10_000, factor=0.0)

    assert keeper.position == 12
    assert keeper.measured is None


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_that_nobody_can_spend_is_followed_too_and_while_the_cloud_is_overloaded(budget):
    stream = Stream(path_of("cifar10"))
    keeper = controller(stream.path, budget, 1e308)

    for factor in (1.0, 0.5, 0.0):
        run(keeper, stream, 20, factor=factor)
        assert 0 <= keeper.position <= stream.path.last


counts = st.integers(0, 500)


@settings(max_examples=80)
@given(
    name=st.sampled_from([*BUDGETS, "latency_p99_ms"]),
    value=st.floats(0, 1e6),
    limits=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    steps=st.lists(
        st.tuples(
            st.floats(0, 1e5), counts, counts, counts,
            st.none() | st.floats(0, 1e9), st.integers(0, 10**6), st.floats(0, 1),
        ),
        max_size=30,
    ),
)  # fmt: skip
def test_no_counts_whatever_move_it_out_of_its_limits(name, value, limits, steps):
    path = path_of_cifar10()
    low, high = sorted(limits)
    keeper = controller(path, name, value, low=low, high=high)
    for seconds, samples, rose, answered, p99_ms, waiting, factor in steps:
        rose = min(rose, samples)
        counted = Tally(seconds, samples, rose, rose * 100, rose * 11e-6 + (samples - rose) * 1e-6, answered)
        keeper.step(counted, p99_ms=p99_ms, waiting=waiting, factor=factor)
        assert low <= keeper.position <= high
        assert np.isfinite(keeper.position)


_KNOWN = {}


def path_of_cifar10():
    """Loaded once: examples are many."""
    return _KNOWN.setdefault("cifar10", path_of("cifar10"))
