"""The last minutes as points: exit share, energy, queue and latency, each over a short window that moves along."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.console.collect.increments import Increments
from services.console.collect.metrics_page import histogram_quantile

__all__ = ["MINUTES", "STEP_S", "History", "Point"]

MINUTES: Final = 10
STEP_S: Final = 2.0
SHARE_WINDOW_S: Final = 10.0
LATENCY_WINDOW_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """How it was at one moment; None where nothing was to measure.

    Attributes:
        at: Epoch seconds.
        edge_share: Finals that left at an exit of the edge, of all finals.
        labels_per_s: Final labels a second.
        energy_j: Joules a sample.
        baseline_j: Joules that the full-precision twin would have spent on a sample.
        queue: Escalations that wait.
        latency_ms: By path and quantile, as in ("edge", 0.5).
    """

    at: float
    edge_share: float | None
    labels_per_s: float
    energy_j: float | None
    baseline_j: float | None
    queue: float
    latency_ms: dict[tuple[str, float], float | None]


class History:
    """Points of the last ten minutes, one every two seconds. For one thread at a time."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Increments]] = deque(maxlen=int(LATENCY_WINDOW_S) * 20)
        self.points: deque[Point] = deque(maxlen=int(MINUTES * 60 / STEP_S))

    def add(self, at: float, rises: Increments, *, queue: float) -> None:
        """What rose up to `at` (epoch seconds) since the time before; `queue` is its length now."""
        self._recent.append((at, rises))
        while self._recent and self._recent[0][0] <= at - LATENCY_WINDOW_S:
            self._recent.popleft()
        if not self.points or at < self.points[-1].at or at - self.points[-1].at >= STEP_S - 0.5:
            self.points.append(self._point(at, queue))

    def _point(self, at: float, queue: float) -> Point:
        shares = _sum(rises for then, rises in self._recent if then > at - SHARE_WINDOW_S)
        latency = _sum(rises for _, rises in self._recent).latency
        quantiles = {
            (path, share): _ms(histogram_quantile(share, buckets))
            for path, buckets in latency.items()
            for share in (0.5, 0.99)
        }
        return Point(
            at=at,
            edge_share=_of(shares.confident, shares.finals),
            labels_per_s=shares.finals / SHARE_WINDOW_S,
            energy_j=_of(shares.energy_j, shares.samples),
            baseline_j=_of(shares.baseline_j, shares.samples),
            queue=queue,
            latency_ms=quantiles,
        )


def _sum(several: Iterable[Increments]) -> Increments:
    total = Increments()
    for increments in several:
        total.add(increments)
    return total


def _of(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
