"""Edge share against accuracy along the bundle's path: as calibrated, and as the live audit estimates it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hybrid_model import bundle as bundles
from hybrid_model.bundle import Manifest
from hybrid_model.monitoring import WhatIfPoint, what_if_curve
from services.common.logs import get_logger
from services.console.collect.metrics_page import MetricsPage

__all__ = ["PathCurve", "load_manifest"]

_WEIGHT_LEAST: Final = 200.0


@dataclass(frozen=True)
class PathCurve:
    """The path of one bundle.

    Attributes:
        network_id: Its network.
        edge_share, accuracy: By point, on the tuning split.
        working_point: The bundle's own.
        passed: First and last point that passed calibration; None where none did.
    """

    network_id: str
    edge_share: tuple[float, ...]
    accuracy: tuple[float, ...]
    working_point: int
    passed: tuple[int, int] | None

    @classmethod
    def of(cls, manifest: Manifest) -> PathCurve | None:
        """The curve of a bundle; None where it was not calibrated."""
        calibration = manifest.calibration
        if calibration is None:
            return None
        first, last = calibration.start, calibration.passed
        passed = None if first is None or last is None else (first, last)
        return cls(
            network_id=manifest.network_id,
            edge_share=tuple(point.edge_share for point in calibration.path),
            accuracy=tuple(point.accuracy for point in calibration.path),
            working_point=calibration.point,
            passed=passed,
        )

    @property
    def last(self) -> int:
        """The loosest point."""
        return len(self.edge_share) - 1

    def at(self, position: float) -> tuple[float, float]:
        """Edge share and accuracy at a position between two points, as calibrated."""
        points = range(len(self.edge_share))
        return float(np.interp(position, points, self.edge_share)), float(np.interp(position, points, self.accuracy))

    def has_passed(self, point: int) -> bool:
        """Whether a point lies in the part that passed calibration."""
        return self.passed is not None and self.passed[0] <= point <= self.passed[1]

    def measured(self, pages: Iterable[MetricsPage]) -> tuple[WhatIfPoint, ...]:
        """Edge share and agreement with the cloud, estimated live; empty before there is enough to tell."""
        total = 0.0
        left: dict[int, float] = {}
        agreed: dict[int, float] = {}
        for page in pages:
            total += page.sum("cloud_what_if_weight_total", network=self.network_id)
            for name, sums in (("left", left), ("agreed", agreed)):
                for labels, value in page.each(f"cloud_what_if_{name}_weight_total"):
                    point = labels.get("point", "")
                    if labels.get("network") == self.network_id and point.isdecimal():
                        sums[int(point)] = sums.get(int(point), 0.0) + value
        return what_if_curve(total, left, agreed) if total >= _WEIGHT_LEAST else ()


def load_manifest(bundle: str) -> Manifest | None:
    """The manifest of a bundle file or a shipped bundle; None, and a line in the log, where it cannot be read."""
    try:
        return bundles.load(bundles.resolve(bundle)).manifest
    except bundles.BundleError as error:
        get_logger("console").warning("no_curve", bundle=bundle, reason=str(error))
        return None
