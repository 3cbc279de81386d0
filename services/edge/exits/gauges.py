"""What is shown of exit control."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from services.control import Controller
from services.metrics import EdgeMetrics

__all__ = ["ControlGauges"]


class ControlGauges:
    """Sets the gauges of exit control, those of the present budget only."""

    def __init__(self, metrics: EdgeMetrics, network_id: str) -> None:
        self._metrics, self._network = metrics, network_id
        self._position = metrics.control_position.labels(network=network_id)
        self._calibrated = metrics.control_calibrated.labels(network=network_id)
        self._saturated = metrics.control_saturated.labels(network=network_id)
        self._budget_factor = metrics.control_budget_factor.labels(network=network_id)
        self._uncalibrated_s = metrics.control_uncalibrated_s.labels(network=network_id)
        self._shown: str | None = None

    def thresholds(self, thresholds: Sequence[float]) -> None:
        """Of the point next to the position, one an exit."""
        for number, threshold in enumerate(thresholds):
            self._metrics.exit_threshold.labels(network=self._network, exit=str(number)).set(threshold)

    def outside(self, seconds: float) -> None:
        """So long the exits have stood where nothing passed calibration."""
        self._uncalibrated_s.inc(seconds)

    def show(self, controller: Controller | None, *, calibrated: bool, factor: float) -> None:
        """The present state; `controller`: none where the thresholds lie on no path."""
        metrics, network = self._metrics, self._network
        budget = None if controller is None else controller.set_point.budget
        self._position.set(math.nan if controller is None else controller.position)
        self._calibrated.set(calibrated)
        self._saturated.set(controller is not None and controller.saturated)
        self._budget_factor.set(1.0 if budget is None else factor)
        name = None if budget is None else budget.name
        if self._shown is not None and self._shown != name:
            for gauge in (metrics.control_target, metrics.control_measured):
                with contextlib.suppress(KeyError):
                    gauge.remove(network, self._shown)
        self._shown = name
        if controller is not None and budget is not None:
            metrics.control_target.labels(network=network, budget=budget.name).set(budget.value)
            measured = controller.measured
            metrics.control_measured.labels(network=network, budget=budget.name).set(
                math.nan if measured is None else measured
            )
