"""Streams and clouds for controllers: what would be counted in a second, drawn at random."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_model import bundle
from hybrid_model.bundle import Calibration
from services.budgets import Costs, Tally
from services.control import Controller, ExitPath, Latencies
from services.messages import Budget, Control

COSTS = Costs(exits_j=(1e-6,), cloud_j=11e-6, feature_bytes=100)


def calibration_of(name: str) -> Calibration:
    """The calibration of a shipped bundle."""
    calibration = bundle.load(bundle.resolve(name)).manifest.calibration
    assert calibration is not None
    return calibration


def path_of(name: str) -> ExitPath:
    """Its calibrated path."""
    return ExitPath(calibration_of(name))


def controller(path: ExitPath, name: str, value: float, *, low: int = 0, high: int | None = None) -> Controller:
    """One that keeps a budget, free to go everywhere unless told otherwise."""
    return Controller(
        path=path,
        set_point=Control("budget", budget=Budget(name, value)),
        costs=COSTS,
        low=low,
        high=path.last if high is None else high,
        base=path.working_point,
        position=path.working_point,
    )


@dataclass
class Stream:
    """Samples at a rate; `harder` shifts the log-odds that a sample rises, `slope` stretches what calibration found."""

    path: ExitPath
    rate: int = 200
    harder: float = 0.0
    slope: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def share(self, position: float) -> float:
        """The share that rises at a position."""
        return 1.0 / (1.0 + math.exp(-(self.slope * self.path.log_odds_at(position) + self.harder)))

    def second(self, position: float) -> Tally:
        """What is counted in a second."""
        rose = int(self._random.binomial(self.rate, self.share(position)))
        at_edge = self.rate - rose
        joules = at_edge * COSTS.exits_j[0] + rose * COSTS.cloud_j
        return Tally(1.0, self.rate, rose, round(rose * COSTS.feature_bytes), joules, rose)


def run(keeper: Controller, stream: Stream, seconds: int, **load: Any) -> list[Tally]:
    """So many seconds, one step each."""
    passed = []
    for _ in range(seconds):
        passed.append(stream.second(keeper.position))
        keeper.step(passed[-1], **load)
    return passed


def total(steps: list[Tally]) -> Tally:
    """Their sum."""
    return sum(steps, Tally())


class Cloud:
    """Answers in the order of arrival, so many a second, each after `least_s` at the earliest."""

    def __init__(self, stream: Stream, *, per_s: float, least_s: float = 0.05) -> None:
        self.per_s, self._least_s, self._stream = per_s, least_s, stream
        self._queue: deque[float] = deque()
        self._now = 0.0
        self._latencies = Latencies(clock=lambda: self._now)
        self._random = np.random.default_rng(stream.seed)

    def seconds(self, keeper: Controller, count: int) -> Iterator[tuple[Tally, float]]:
        """(what was counted, p99 in ms) of every second, with a step of the controller after each."""
        for _ in range(count):
            counted = self._second(keeper.position)
            p99_ms = 1000.0 * (self._latencies.quantile_s(0.99) or 0.0)
            keeper.step(counted, p99_ms=p99_ms, waiting=len(self._queue))
            yield counted, p99_ms

    def _second(self, position: float, parts: int = 20) -> Tally:
        samples = rose = answered = 0
        can = 0.0
        for _ in range(parts):
            self._now += 1.0 / parts
            came = int(self._random.poisson(self._stream.rate / parts))
            up = int(self._random.binomial(came, self._stream.share(position)))
            self._queue.extend([self._now] * up)
            self._latencies.add([0.005] * (came - up))
            can = min(can + self.per_s / parts, 0.2 * self.per_s)
            while can >= 1.0 and self._queue and self._now - self._queue[0] >= self._least_s:
                self._latencies.add([self._now - self._queue.popleft()])
                can -= 1.0
                answered += 1
            samples, rose = samples + came, rose + up
        return Tally(1.0, samples, rose, 0, 0.0, answered)
