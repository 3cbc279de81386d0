"""How much the workers' counters rose from one scrape to the next, whatever worker began again at 0 meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.console.collect.metrics_page import MetricsPage
from services.console.collect.scraping import Scrape

__all__ = ["Increments", "Meter", "spent_j"]

PATHS: Final = ("edge", "cloud")


@dataclass
class Increments:
    """Rises of the counters, over all workers.

    Attributes:
        finals: Final labels.
        confident: Those that left at an exit of the edge.
        samples: Samples received.
        energy_j: Joules spent, edge and cloud.
        baseline_j: Joules that the full-precision twin would have spent on the same samples.
        latency: By path (`edge`, `cloud`): labels that took at most so many seconds, by that bound.
    """

    finals: float = 0.0
    confident: float = 0.0
    samples: float = 0.0
    energy_j: float = 0.0
    baseline_j: float = 0.0
    latency: dict[str, dict[float, float]] = field(default_factory=lambda: {path: {} for path in PATHS})

    def add(self, other: Increments) -> None:
        """Add what rose in another time."""
        self.finals += other.finals
        self.confident += other.confident
        self.samples += other.samples
        self.energy_j += other.energy_j
        self.baseline_j += other.baseline_j
        for path, bounds in other.latency.items():
            mine = self.latency.setdefault(path, {})
            for bound_s, count in bounds.items():
                mine[bound_s] = mine.get(bound_s, 0.0) + count


def spent_j(page: MetricsPage) -> float:
    """Joules that a worker, edge or cloud, has spent on samples and on audits."""
    stages = page.by("stage", "energy_joules_total")
    others = ("audit_energy_joules_total", "cloud_energy_joules_total", "cloud_audit_energy_joules_total")
    return sum(value for stage, value in stages.items() if stage != "cloud") + sum(map(page.sum, others))


def _totals(page: MetricsPage) -> dict[tuple[str, ...], float]:
    """The counters as they stand, flat."""
    totals: dict[tuple[str, ...], float] = {
        ("finals",): page.sum("exits_total"),
        ("confident",): page.sum("exits_total", reason="confident"),
        ("samples",): page.sum("samples_received_total"),
        ("energy_j",): spent_j(page),
        ("baseline_j",): page.sum("energy_baseline_joules_total"),
    }
    for labels, value in page.each("label_latency_seconds_bucket"):
        if labels.get("path") in PATHS:
            totals["latency", labels["path"], labels["le"]] = value
    return totals


class Meter:
    """Compares each round of scrapes with the one before."""

    def __init__(self) -> None:
        self._before: dict[str, dict[tuple[str, ...], float]] = {}

    def rises(self, scrapes: Mapping[str, Scrape]) -> Increments:
        """What rose since the last round; a worker's first page raises nothing."""
        found = Increments()
        for url, scrape in scrapes.items():
            if scrape.page is None or scrape.error is not None:
                continue
            now = _totals(scrape.page)
            before = self._before.get(url)
            self._before[url] = now
            if before is None:
                continue
            for series, value in now.items():
                last = before.get(series, 0.0)
                rise = value - last if value >= last else value
                if series[0] == "latency":
                    bounds = found.latency[series[1]]
                    bounds[float(series[2])] = bounds.get(float(series[2]), 0.0) + rise
                else:
                    setattr(found, series[0], getattr(found, series[0]) + rise)
        return found
