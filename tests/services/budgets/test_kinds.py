"""Every budget is one entry: messages, settings, the command, the console and the documentation take it from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from services.budgets import BUDGETS, EscalationBudget, Tally
from services.messages import Budget, Control, MessageError
from services.settings import ControlSettings, SettingsError, load
from tests.services.control.streams import COSTS

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "control.md"

#: 10 s with 200 samples, of which 40 rose.
STEP = Tally(10.0, 200, 40, 40 * int(COSTS.feature_bytes), 160 * COSTS.exits_j[0] + 40 * COSTS.cloud_j, 40)
#: What each budget's quantity was in that step, with a p99 of 12 ms.
MEASURED = {
    "escalated_share": 0.2,
    "escalations_per_s": 4.0,
    "bytes_per_day": 4.0 * COSTS.feature_bytes * 86400,
    "energy_j_per_sample": 0.8 * COSTS.exits_j[0] + 0.2 * COSTS.cloud_j,
    "latency_p99_ms": 12.0,
}


def test_every_budget_is_measured_here() -> None:
    assert set(MEASURED) == set(BUDGETS)


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_is_known_by_one_name_in_messages_and_settings(name: str) -> None:
    wanted = Control("budget", budget=Budget(name, 0.5))
    assert Control.decode(wanted.encode()) == wanted
    told = {"edge": {"control": {"mode": "budget", "budget": name, "value": 0.5}}}
    assert load(overrides=told).edge.control.budget == name
    assert set(get_args(get_args(ControlSettings.model_fields["budget"].annotation)[0])) == set(BUDGETS)


def test_another_name_is_refused_by_both() -> None:
    with pytest.raises(MessageError):
        Control.decode(Control("budget", budget=Budget("watts", 1.0)).encode())
    with pytest.raises(SettingsError, match="escalated_share"):
        load(overrides={"edge": {"control": {"mode": "budget", "budget": "watts", "value": 1.0}}})


@pytest.mark.parametrize("name", BUDGETS)
def test_the_page_on_exit_control_has_a_row_for_each(name: str) -> None:
    kind = BUDGETS[name]
    assert f"| `budget` `{name}` | {kind.meaning} | {kind.unit} |" in PAGE.read_text()


@pytest.mark.parametrize(("name", "value"), MEASURED.items())
def test_each_measures_its_own_quantity(name: str, value: float) -> None:
    assert BUDGETS[name].measured(STEP, 12.0) == pytest.approx(value)


@pytest.mark.parametrize("name", BUDGETS)
def test_where_nothing_came_nothing_is_measured(name: str) -> None:
    assert BUDGETS[name].measured(Tally(), None) is None


@pytest.mark.parametrize(("name", "value"), MEASURED.items())
def test_what_was_spent_is_what_that_budget_allowed(name: str, value: float) -> None:
    kind = BUDGETS[name]
    if isinstance(kind, EscalationBudget):
        allowed = kind.allowance(value, STEP, COSTS, factor=1.0)
        assert (allowed.share, allowed.credit) == pytest.approx((0.2, 0.0), abs=1e-9)
        assert kind.allowance(0.5 * value, STEP, COSTS, factor=1.0).credit < 0
        assert kind.allowance(value, STEP, COSTS, factor=0.0).share == 0.0


@pytest.mark.parametrize("name", BUDGETS)
def test_a_value_that_nobody_can_keep_is_refused_with_a_reason(name: str) -> None:
    kind = BUDGETS[name]
    assert kind.refusal(0.5, COSTS) is None
    assert kind.refusal(-0.5, COSTS) is not None
    assert kind.refusal(float("nan"), COSTS) is not None


def test_the_reasons_of_single_budgets() -> None:
    assert BUDGETS["escalated_share"].refusal(1.5, COSTS) == "a share lies between 0 and 1"
    assert BUDGETS["latency_p99_ms"].refusal(0.0, COSTS) == "it must be above 0"
    assert "joules" in str(BUDGETS["energy_j_per_sample"].refusal(1e-6, replace(COSTS, cloud_j=0.0)))


def test_a_budget_and_a_set_point_can_be_read() -> None:
    assert str(Budget("escalated_share", 0.2)) == "escalated_share=0.2"
    assert str(Control("budget", budget=Budget("bytes_per_day", 2e6))) == "bytes_per_day=2e+06"
    assert str(Control("fixed", point=34)) == "point 34"
