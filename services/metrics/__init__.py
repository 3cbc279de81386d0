"""Every metric of the project, in one place, and the small HTTP server that shows them.

    metrics = EdgeMetrics()
    metrics.samples_received.labels(device="camera-1").inc()
    with MetricsServer(settings.metrics, metrics.registry, ready=lambda: link.connected):
        ...

One object holds one process's metrics in a registry of its own. Names are facts in the past tense; times are seconds,
energies joules.
"""

from services.metrics.cloud import CloudMetrics
from services.metrics.edge import EdgeMetrics
from services.metrics.series import OTHER_DEVICE, DeviceNames, observe, observe_all
from services.metrics.server import Check, MetricsError, MetricsServer, Route

__all__ = [
    "OTHER_DEVICE",
    "Check",
    "CloudMetrics",
    "DeviceNames",
    "EdgeMetrics",
    "MetricsError",
    "MetricsServer",
    "Route",
    "observe",
    "observe_all",
]
