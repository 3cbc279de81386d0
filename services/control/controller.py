"""A PI controller that moves the exits along the calibrated path so that a budget is kept, also under overload."""

from __future__ import annotations

import math
from typing import Final

from services.budgets import BUDGETS, Costs, EscalationBudget, Tallies, Tally
from services.control.path import ExitPath
from services.messages import Control

__all__ = ["PERIOD_S", "Controller", "Overload"]

#: How often it is asked, seconds.
PERIOD_S: Final = 1.0
#: Over how many seconds it is judged whether a budget is kept.
WINDOW_S: Final = 10.0

#: Gains, log-odds for each unit of error.
_P: Final = 0.1
_I: Final = 0.3
#: Samples times the variance of one: fewer move the exits less.
_INFORMATION: Final = 8.0
_INFORMATION_WINDOW: Final = 16.0
_MOVE_MAX: Final = 1.0
_SHARE_LEAST: Final = 0.005
_BAND: Final = 0.03
#: Standard deviations of what is counted in the window: what is noise is not followed.
_BAND_DEVIATIONS: Final = 0.75
_INSIDE: Final = 0.5
#: Standard deviations of one step, beyond which the dead band does not hold.
_SURPRISE: Final = 3.0
_OVER_DEVIATIONS: Final = 2.0

# Latency: what may wait is a part of the budget, for the slowest of a hundred waits longer than the mean.
_AGE_SHARE: Final = 0.35
_CALM: Final = 0.75
_DRAIN_S: Final = 4.0
#: Log-odds a second, where little waits; less for budgets below a second.
_FILL: Final = 0.04
_TRIM_LEAST: Final = 0.3
_TRIM_DOWN: Final = 0.97
_TRIM_UP: Final = 1.01
_SMOOTHING: Final = 0.4

#: How full the fullest queue is where the budget begins to shrink, and where nothing of it is left.
_OVERLOAD_BEGINS: Final = 0.5
_NOTHING_LEFT: Final = 0.9
_RECOVERS_PER_S: Final = 0.05


class Controller:
    """Holds a set-point; asked once a period where the exits are to stand. For one thread.

    In mode `fixed` the position is the point. In mode `budget` an incremental PI controller works in the log-odds of
    the escalated share (see `ExitPath`): its error is the number of samples that could have risen and did not, over the
    variance of that number. What it would move beyond `low` or `high` is lost, not kept (anti-windup). Within a dead
    band of 3 % around the budget (or 0.75 standard deviations of what is counted in the window, where that is more) it
    does not move, once it came within half of that (hysteresis). A budget for latency bounds one side only: the
    position goes from `base` towards `high`, and returns where latency allows.

    Args:
        path: The bundle's.
        set_point: What is to be kept; it was checked.
        costs: What one sample costs.
        low, high: First and last point that may be taken.
        base: Where the exits stand as long as latency is within its budget.
        position: Where they stand now.
    """

    def __init__(
        self, *, path: ExitPath, set_point: Control, costs: Costs, low: int, high: int, base: int, position: float
    ) -> None:
        self._path, self.set_point, self._costs = path, set_point, costs
        self._low, self._high, self._base = low, high, min(max(base, low), high)
        self._fixed = set_point.mode == "fixed"
        start = float(set_point.point or 0) if self._fixed else min(max(position, low), high)
        self.position = start
        self._odds = path.log_odds_at(start)
        self._last_error = 0.0
        self._holding = False
        self._tallies = Tallies()
        self._answers_per_s = _Smoothed()
        self._trim = 1.0
        self.measured: float | None = None
        self.saturated = False

    @property
    def limit(self) -> str:
        """Where it cannot go further, in words."""
        end = "the path's last point" if self._high == self._path.last else "the last point that passed calibration"
        return f"the exits stand at {end}, {self._high}"

    def step(self, step: Tally, *, p99_ms: float | None = None, waiting: int = 0, factor: float = 1.0) -> None:
        """A period has passed.

        Args:
            step: What was counted in it.
            p99_ms: The latency that 99 of 100 of the latest final labels did not exceed.
            waiting: Hard samples that await the cloud.
            factor: What is left of the budget while the cloud is overloaded, 0 to 1.
        """
        budget = self.set_point.budget
        if self._fixed or budget is None:
            return
        self._tallies.add(step)
        kind = BUDGETS[budget.name]
        self.measured = kind.measured(self._tallies.over(WINDOW_S), p99_ms)
        if not isinstance(kind, EscalationBudget):
            self._follow_latency(step, budget.value, waiting, factor)
        elif step.samples:
            self._follow_share(kind, step, budget.value, factor)

    def _follow_share(self, kind: EscalationBudget, step: Tally, value: float, factor: float) -> None:
        allowed = kind.allowance(value, step, self._costs, factor=factor)
        variance = _variance(allowed.share)
        within = self._tallies.over(WINDOW_S, samples=_INFORMATION_WINDOW / variance)
        over = kind.allowance(value, within, self._costs, factor=factor)
        expected = max(over.share * within.samples, 1e-9)
        noise = math.sqrt(within.samples * _variance(over.share))
        band = max(_BAND * expected, _BAND_DEVIATIONS * noise)
        surprised = abs(allowed.credit) > _SURPRISE * math.sqrt(step.samples * variance) + 1.0
        self._holding = not surprised and abs(over.credit) <= (band if self._holding else _INSIDE * band)
        if not self._holding:
            self._move(allowed.credit, step.samples * variance, self._path.log_odds_at(self._low))
        is_over = -over.credit > band + _OVER_DEVIATIONS * noise
        self.saturated = is_over and self.position >= self._high

    def _follow_latency(self, step: Tally, budget_ms: float, waiting: int, factor: float) -> None:
        """By Little's law: what waits may be as old as a part of the budget, and drains at the rate of the answers."""
        over = self.measured is not None and self.measured > budget_ms
        budget_s = budget_ms / 1000.0
        age_s, seconds = self._tallies.age_of(waiting), max(step.seconds, 1e-9)
        self._answers_per_s.add(step.answered / seconds)
        wanted_age_s = _AGE_SHARE * budget_s * self._trim * factor
        calm = age_s < _CALM * wanted_age_s
        if over and calm:  # slow for another reason than what waits
            self._trim = max(_TRIM_LEAST, self._trim * _TRIM_DOWN)
        elif not over:
            self._trim = min(1.0, self._trim * _TRIM_UP)
        self.saturated = over and self.position >= self._high
        lowest = self._path.log_odds_at(self._base)
        if calm and not over:
            self._stand(self._odds + _FILL * min(1.0, budget_s) * seconds, lowest)
        elif age_s > wanted_age_s and step.samples:
            drained = 1.0 - (age_s - wanted_age_s) / max(_DRAIN_S, budget_s)
            allowed = self._answers_per_s.value * drained * seconds
            credit = min(0.0, allowed - step.escalated)
            self._move(credit, step.samples * _variance(allowed / step.samples), lowest)
        # else hysteresis: what waits is left to drain

    def _move(self, credit: float, information: float, lowest: float) -> None:
        """One step of the PI controller, within the limits; `lowest`: log-odds at the strictest position allowed."""
        error = credit / information
        trust = min(1.0, information / _INFORMATION)
        moved = _I * trust * error + _P * trust * (error - self._last_error)
        self._last_error = min(max(error, -_MOVE_MAX / _I), _MOVE_MAX / _I)
        self._stand(self._odds + min(max(moved, -_MOVE_MAX), _MOVE_MAX), lowest)

    def _stand(self, odds: float, lowest: float) -> None:
        self._odds = min(max(odds, self._path.log_odds_at(self._high)), lowest)
        self.position = min(max(self._path.position_at(self._odds), float(self._low)), float(self._high))


class Overload:
    """What is left of a budget while the cloud falls behind: it shrinks before samples must be shed.

    It falls at once with the room that is left in the queues, and recovers slowly: a queue that drains is let drain.
    """

    def __init__(self) -> None:
        self.value = 1.0

    def factor(self, fill: float, seconds: float) -> float:
        """By what the budget is multiplied, 0 to 1.

        Args:
            fill: How full the fullest queue is: half or less takes nothing, 0.9 takes all.
            seconds: Since the last call.
        """
        room = (_NOTHING_LEFT - fill) / (_NOTHING_LEFT - _OVERLOAD_BEGINS)
        self.value = min(max(0.0, min(1.0, room)), self.value + _RECOVERS_PER_S * seconds)
        return self.value


class _Smoothed:
    """An exponentially weighted mean."""

    def __init__(self) -> None:
        self.value = 0.0
        self._begun = False

    def add(self, value: float) -> None:
        self.value += (_SMOOTHING if self._begun else 1.0) * (value - self.value)
        self._begun = True


def _variance(share: float) -> float:
    """Of whether one sample rises, where a share does; never 0."""
    kept = min(max(share, _SHARE_LEAST), 1.0 - _SHARE_LEAST)
    return kept * (1.0 - kept)
