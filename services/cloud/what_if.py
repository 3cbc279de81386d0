"""Counts what answered and audited samples tell of other thresholds: weights along the bundle's path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prometheus_client import Counter

from hybrid_model.monitoring import WhatIfPath
from services.cloud.networks import Network
from services.messages import Escalation
from services.metrics import CloudMetrics

__all__ = ["WhatIf"]


class WhatIf:
    """The three counters of each network that has a calibrated path; for the others nothing is counted."""

    def __init__(self, metrics: CloudMetrics) -> None:
        self._metrics = metrics
        self._paths: dict[str, _Path | None] = {}

    def add(self, network: Network, samples: Sequence[Escalation], classes: Sequence[int]) -> None:
        """Samples with the cloud's class of each. An audited one stands for 1 / share samples, any other for itself."""
        if network.network_id not in self._paths:
            self._paths[network.network_id] = _Path.of(network, self._metrics)
        path = self._paths[network.network_id]
        if path is not None and samples:
            path.add(samples, classes)


class _Path:
    def __init__(self, path: WhatIfPath, network_id: str, metrics: CloudMetrics) -> None:
        def by_point(counter: Counter) -> list[Counter]:
            return [counter.labels(network=network_id, point=str(point)) for point in path.points]

        self._path = path
        self._total = metrics.what_if_weight.labels(network=network_id)
        self._left, self._agreed = by_point(metrics.what_if_left_weight), by_point(metrics.what_if_agreed_weight)

    @classmethod
    def of(cls, network: Network, metrics: CloudMetrics) -> _Path | None:
        told = network.manifest.calibration
        return None if told is None else cls(WhatIfPath(told), network.network_id, metrics)

    def add(self, samples: Sequence[Escalation], classes: Sequence[int]) -> None:
        shape = len(samples), self._path.exits
        scores, said = np.full(shape, np.nan), np.full(shape, -1)
        for row, sample in enumerate(samples):
            for column, (class_index, score) in enumerate(sample.exits[: shape[1]]):
                scores[row, column], said[row, column] = score, class_index
        weights = np.array([1.0 if one.audit is None else 1.0 / one.audit.share for one in samples])
        found = self._path.weigh(scores, said, np.asarray(classes), weights)
        self._total.inc(found.total)
        for counters, amounts in ((self._left, found.left), (self._agreed, found.agreed)):
            for position in np.flatnonzero(amounts):
                counters[position].inc(float(amounts[position]))
