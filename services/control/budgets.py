"""Each budget as what it allows: how many samples may rise in a step, and what was measured.

Whatever the budget, its shortfall is counted in escalations, so that one controller with one gain keeps all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.control.tally import Costs, Tally

_DAY_S = 86400.0
_SHARE_MAX = 1e6  # of a budget that nobody can spend: finite, so that no part of it is undefined


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of one step: `share` of its samples may rise (0 to 1); `credit`: how many more could have risen than did."""

    share: float
    credit: float


def allowance(name: str, value: float, step: Tally, costs: Costs, *, factor: float) -> Allowance:
    """What a budget allowed in a step with samples, of what was left of it by `factor` (1: all).

    `name`: any budget but latency_p99_ms. Raises KeyError for another.
    """
    if name == "escalated_share":
        allowed = value * factor * step.samples
        return _of(allowed, step)
    if name == "escalations_per_s":
        return _of(value * factor * step.seconds, step)
    if name == "bytes_per_day":
        escalations = value / _DAY_S * factor * step.seconds / max(1.0, costs.feature_bytes)
        return _of(escalations, step)
    if name == "energy_j_per_sample":
        return _of_energy(value, step, costs, factor)
    raise KeyError(name)


def measured(name: str, total: Tally) -> float | None:
    """A budget's quantity over a while, in its own unit; none where nothing came, and for latency_p99_ms."""
    if name == "escalations_per_s":
        return total.escalated / total.seconds if total.seconds else None
    if name == "bytes_per_day":
        return _DAY_S * total.feature_bytes / total.seconds if total.seconds else None
    if not total.samples:
        return None
    if name == "escalated_share":
        return total.escalated / total.samples
    return total.energy_j / total.samples if name == "energy_j_per_sample" else None


def _of(allowed: float, step: Tally) -> Allowance:
    return Allowance(min(1.0, max(0.0, allowed / step.samples)), allowed - step.escalated)


def _of_energy(value: float, step: Tally, costs: Costs, factor: float) -> Allowance:
    """By what one more escalation costs, beside a sample that leaves at the edge as the others do."""
    left = step.samples - step.escalated
    at_edge_j = costs.exits_j[0] if left <= 0 else (step.energy_j - step.escalated * costs.cloud_j) / left
    more_j = max(costs.cloud_j - at_edge_j, 1e-15)
    share = min(_SHARE_MAX, (value - at_edge_j) / more_j)
    share *= factor if share > 0 else 1.0
    return Allowance(min(1.0, max(0.0, share)), share * step.samples - step.escalated)
