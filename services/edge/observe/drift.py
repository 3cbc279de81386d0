"""How far each device's scores have drifted from the calibration split's, shown once a second."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_model.bundle import Manifest
from hybrid_model.monitoring import Reference, ScoreWindows
from hybrid_model.runtime import EdgeResult
from services.common.logs import SparseLog
from services.metrics import DeviceNames, EdgeMetrics

__all__ = ["DriftGauges"]


class DriftGauges:
    """Of the first exit, which every sample passes. For the worker's thread; nothing is raised.

    A bundle without calibration, or with too few samples in it, has no such gauges.
    """

    def __init__(self, *, manifest: Manifest, metrics: EdgeMetrics, devices: DeviceNames) -> None:
        calibration = manifest.calibration
        reference = None if calibration is None else Reference.usable(calibration.histogram[0])
        self._windows = None if reference is None else ScoreWindows(reference)
        self._metrics, self._devices = metrics, devices
        self._log = SparseLog("edge")

    def add(self, devices: Sequence[str], result: EdgeResult) -> None:
        """New samples were decided; `devices`: of each."""
        if self._windows is None:
            return
        try:
            self._windows.add([self._devices(device) for device in devices], result.exit_scores[:, 0])
        except Exception as error:  # no sample waits for a gauge
            self._failed(error)

    def show(self) -> None:
        """Set the gauges of the devices that were heard of."""
        if self._windows is None:
            return
        try:
            for device, drift in self._windows.drifts().items():
                self._metrics.drift_samples.labels(device=device).set(drift.samples)
                if drift.psi is not None and drift.threshold is not None:
                    self._metrics.drift_psi.labels(device=device).set(drift.psi)
                    self._metrics.drift_psi_threshold.labels(device=device).set(drift.threshold)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._log.warning("drift_failed", error=f"{type(error).__name__}: {error}")
