"""One worker's page of metrics, as it was read at one moment; and what its histograms tell."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["MetricsPage", "histogram_quantile"]

PREFIX: Final = "dewpoint_"
Labels = Mapping[str, str]


class MetricsPage:
    """The samples of a page by name, without `dewpoint_`; what is not ours is left out.

    Raises ValueError for text that is no page of metrics.
    """

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith(PREFIX):
                    self._samples[sample.name.removeprefix(PREFIX)].append((sample.labels, sample.value))

    def each(self, name: str) -> Iterator[tuple[Labels, float]]:
        """Labels and value of every series of a name."""
        yield from self._samples.get(name, ())

    def has(self, name: str) -> bool:
        """Whether there is such a series."""
        return name in self._samples

    def sum(self, name: str, **labels: str) -> float:
        """The sum over the series of a name that have these labels; 0 where there is none."""
        return sum(value for found, value in self.each(name) if labels.items() <= found.items())

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sums over the series of a name, by the value of one label."""
        sums: dict[str, float] = defaultdict(float)
        for found, value in self.each(name):
            sums[found.get(label, "")] += value
        return dict(sums)

    @property
    def info(self) -> Labels:
        """What the worker says of itself; nothing where it does not."""
        return next((labels for labels, _ in self.each("worker_info")), {})


def histogram_quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value that `share` of the observations do not exceed, by linear interpolation within its bucket:
    as Prometheus' `histogram_quantile` reads a classic histogram.

    Args:
        share: From 0 to 1.
        buckets: Observations at most `bound`, by bound, `inf` among them.

    Returns None where nothing was observed; the greatest finite bound where the value lies beyond it.
    """
    bounds = sorted(buckets)
    if not bounds or not math.isinf(bounds[-1]) or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    below, count_below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return below
            inside = count - count_below
            return bound if inside <= 0 else below + (bound - below) * (rank - count_below) / inside
        below, count_below = bound, count
    return below
