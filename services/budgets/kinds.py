"""The budgets that exit control can keep: one class each, and the table of all of them.

A new budget is a class here and its line in `BUDGETS`. Messages, settings, the console and the command take names from
that table, the controller takes the rest. `docs/how-to/control.md` has a row for each, which a test compares.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from services.budgets.tally import Costs, Tally

__all__ = ["BUDGETS", "Allowance", "BudgetKind", "EscalationBudget", "LatencyBudget"]

_DAY_S: Final = 86400.0
#: Of an energy budget that nobody can spend: finite, so that no part of it is undefined.
_SHARE_MAX: Final = 1e6
#: Joules that one more escalation costs at least: where the cloud costs no more than the edge, nothing is divided by 0.
_MORE_J_MIN: Final = 1e-15


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of one step: `share` of its samples may rise (0 to 1); `credit`: how many more could have risen than did."""

    share: float
    credit: float


class BudgetKind(ABC):
    """A quantity that can be kept, of one worker.

    Attributes:
        name: Its name in set-points, settings and metrics.
        title: A few words with the unit, for the console.
        meaning: What is measured, for the documentation.
        unit: Its unit, for the documentation.
        greatest: The greatest value that may be asked for.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    meaning: ClassVar[str]
    unit: ClassVar[str]
    greatest: ClassVar[float] = math.inf

    def refusal(self, value: float, costs: Costs) -> str | None:
        """Why `value`, in this kind's unit, cannot be asked for where a sample costs this much; none where it can."""
        if not value >= 0:
            return "it must be 0 or more"
        return f"it must be {self.greatest:g} or less" if value > self.greatest else None

    @abstractmethod
    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        """What the quantity was, in this kind's unit; none where nothing came.

        Args:
            total: What was counted over a while.
            p99_ms: The latency that 99 of 100 of the latest final labels did not exceed.
        """


class EscalationBudget(BudgetKind):
    """A budget that escalations spend.

    Its shortfall is counted in them, whatever its unit, so that one controller with one gain keeps all of them.
    """

    @abstractmethod
    def allowance(self, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
        """What `value` allowed in a step that had samples, of what was left of it by `factor` (1: all)."""


class LatencyBudget(BudgetKind):
    """A budget of milliseconds. It bounds one side: the exits give way only where labels come too late."""

    def refusal(self, value: float, costs: Costs) -> str | None:
        """As of any budget; no label takes no time, so 0 cannot be kept."""
        return "it must be above 0" if value == 0 else super().refusal(value, costs)


class _EscalatedShare(EscalationBudget):
    name = "escalated_share"
    title = "share escalated"
    meaning = "the share of new samples that rise to the cloud"
    unit = "0 to 1"
    greatest = 1.0

    def refusal(self, value: float, costs: Costs) -> str | None:
        return None if 0 <= value <= self.greatest else "a share lies between 0 and 1"

    def allowance(self, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
        return _allowance(value * factor * step.samples, step)

    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        return total.escalated / total.samples if total.samples else None


class _EscalationsPerS(EscalationBudget):
    name = "escalations_per_s"
    title = "escalations / s"
    meaning = "how many rise in a second"
    unit = "1/s"

    def allowance(self, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
        return _allowance(value * factor * step.seconds, step)

    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        return total.escalated / total.seconds if total.seconds else None


class _BytesPerDay(EscalationBudget):
    name = "bytes_per_day"
    title = "bytes / day"
    meaning = "bytes of features that rise, extrapolated to a day"
    unit = "bytes"

    def allowance(self, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
        return _allowance(value / _DAY_S * factor * step.seconds / max(1.0, costs.feature_bytes), step)

    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        return _DAY_S * total.feature_bytes / total.seconds if total.seconds else None


class _EnergyPerSample(EscalationBudget):
    name = "energy_j_per_sample"
    title = "joules / sample"
    meaning = "mean of the labels' `energy_j`: estimated joules of every stage on a sample's path, edge and cloud"
    unit = "J"

    def refusal(self, value: float, costs: Costs) -> str | None:
        if not costs.cloud_j:
            return "this bundle does not tell its layers, so nobody knows joules"
        return super().refusal(value, costs)

    def allowance(self, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
        """By what one more escalation costs, beside a sample that leaves at the edge as the others do."""
        left = step.samples - step.escalated
        at_edge_j = costs.exits_j[0] if left <= 0 else (step.energy_j - step.escalated * costs.cloud_j) / left
        share = min(_SHARE_MAX, (value - at_edge_j) / max(costs.cloud_j - at_edge_j, _MORE_J_MIN))
        return _allowance((share * factor if share > 0 else share) * step.samples, step)

    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        return total.energy_j / total.samples if total.samples else None


class _LatencyP99(LatencyBudget):
    name = "latency_p99_ms"
    title = "p99 latency, ms"
    meaning = "what 99 of 100 final labels take at most, from receipt to the commit of the label, of the last 10 s"
    unit = "ms"

    def measured(self, total: Tally, p99_ms: float | None) -> float | None:
        return p99_ms


def _allowance(escalations: float, step: Tally) -> Allowance:
    return Allowance(min(1.0, max(0.0, escalations / step.samples)), escalations - step.escalated)


#: By name, in the order in which they are shown.
BUDGETS: Final[Mapping[str, BudgetKind]] = {
    kind.name: kind
    for kind in (_EscalatedShare(), _EscalationsPerS(), _EnergyPerSample(), _BytesPerDay(), _LatencyP99())
}
