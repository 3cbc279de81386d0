"""Traces as the settings have them: off, or recorded and sent. opentelemetry is imported only if they are on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from prometheus_client import Counter

from hybrid_model.errors import DewpointError
from services.settings import TracesSettings
from services.traces.off import CloudTraces, EdgeTraces, PublisherTraces

if TYPE_CHECKING:
    from services.traces.exporter import Exporter

__all__ = ["TracesError", "cloud_traces", "edge_traces", "publisher_traces"]


class TracesError(DewpointError):
    """Traces are switched on and cannot be recorded; the message says what to do."""


def edge_traces(settings: TracesSettings, *, site: str, worker: str, spans: Counter | None = None) -> EdgeTraces:
    """Those of an edge worker; `spans` counts what becomes of them, by outcome. Raises TracesError."""
    exporter = _exporter(settings, "dewpoint-edge", site=site, worker=worker, spans=spans)
    if exporter is None:
        return EdgeTraces()
    from services.traces.edge import RecordedEdge

    return RecordedEdge(exporter)


def cloud_traces(settings: TracesSettings, *, worker: str, spans: Counter | None = None) -> CloudTraces:
    """Those of a cloud worker. Raises TracesError."""
    exporter = _exporter(settings, "dewpoint-cloud", site="", worker=worker, spans=spans)
    if exporter is None:
        return CloudTraces()
    from services.traces.cloud import RecordedCloud

    return RecordedCloud(exporter)


def publisher_traces(settings: TracesSettings, *, site: str) -> PublisherTraces:
    """Those of a publisher of samples. Raises TracesError."""
    exporter = _exporter(settings, "dewpoint-stream", site=site, worker="", spans=None)
    if exporter is None:
        return PublisherTraces()
    from services.traces.publisher import RecordedPublisher

    return RecordedPublisher(exporter)


def _exporter(
    settings: TracesSettings, service: str, *, site: str, worker: str, spans: Counter | None
) -> Exporter | None:
    if not settings.enabled:
        return None
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        importlib.import_module("opentelemetry.sdk.trace")
    except ImportError as error:
        raise TracesError(
            f"traces.enabled needs OpenTelemetry ({error}); install it: pip install 'dewpoint[traces]'"
        ) from None
    from services.traces.exporter import Exporter

    return Exporter(settings, service, site=site, worker=worker, spans=spans)
