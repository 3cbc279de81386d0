"""Spans on their way out: a bounded queue, and a thread that sends them by OTLP over HTTP.

Whoever ends a span never waits: where the collector is slow or away, spans are dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from prometheus_client import Counter

from services.common.logs import SparseLog
from services.common.version import own_version
from services.settings import TracesSettings

__all__ = ["Exporter"]

_QUEUE_MAX: Final = 8192
_BATCH_MAX: Final = 512
_DELAY_MS: Final = 1000.0
_FLUSH_S: Final = 2.0
_ABORT_S: Final = 0.5
_LIMITS: Final = SpanLimits(max_attribute_length=256, max_links=4096)
_PATH: Final = "/v1/traces"


class Exporter:
    """The tracers of one process, and what becomes of their spans.

    `samples` records a share of new traces, and what a sampled parent asks for (the W3C flag); `batches` whatever is
    asked of it. `spans` counts by outcome: sent, failed, dropped.
    """

    def __init__(
        self, settings: TracesSettings, service: str, *, site: str, worker: str, spans: Counter | None
    ) -> None:
        endpoint = settings.endpoint
        if endpoint is not None and not endpoint.rstrip("/").endswith(_PATH):
            endpoint = endpoint.rstrip("/") + _PATH
        _listen_to_opentelemetry()
        self._otlp = OTLPSpanExporter(endpoint=endpoint)
        self._bounded = _Bounded(self._otlp, spans)
        about = {
            "service.name": service,
            "service.namespace": site,
            "service.instance.id": worker,
            "service.version": own_version(),
        }
        resource = Resource.create({name: value for name, value in about.items() if value})
        sampler = ParentBased(TraceIdRatioBased(settings.share))
        providers = [
            TracerProvider(sampler=chosen, resource=resource, span_limits=_LIMITS, shutdown_on_exit=False)
            for chosen in (sampler, ALWAYS_ON)
        ]
        for provider in providers:
            provider.add_span_processor(self._bounded)
        self.samples, self.batches = (provider.get_tracer("dewpoint") for provider in providers)

    def stop(self) -> None:
        """Send what is due, within about 2.5 s; what a collector has not taken by then is dropped."""
        flushing = threading.Thread(target=self._bounded.shutdown, name="traces-flush", daemon=True)
        flushing.start()
        flushing.join(_FLUSH_S)
        if flushing.is_alive():
            self._otlp.shutdown()  # type: ignore[no-untyped-call]  # ends its pause between two attempts
            flushing.join(_ABORT_S)


class _Bounded(SpanProcessor):
    """Hands spans to OpenTelemetry's batch processor while fewer than 8,192 wait; drops and counts the others.

    That processor would drop the oldest, and write a record to the log for each.
    """

    def __init__(self, otlp: SpanExporter, spans: Counter | None) -> None:
        self._dropped = None if spans is None else spans.labels(outcome="dropped")
        self._counted = _Counted(otlp, spans)
        self._batches = BatchSpanProcessor(
            self._counted,
            max_queue_size=_QUEUE_MAX,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=_BATCH_MAX,
        )
        self._lock = threading.Lock()
        self._ended = 0

    def on_start(self, span: object, parent_context: Context | None = None) -> None:
        pass

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            room = self._ended - self._counted.taken < _QUEUE_MAX
            self._ended += room
        if room:
            self._batches.on_end(span)
        elif self._dropped is not None:
            self._dropped.inc()

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._batches.force_flush(timeout_millis)


class _Counted(SpanExporter):
    """Counts what the exporter took and what it failed with; `taken`: both."""

    def __init__(self, otlp: SpanExporter, spans: Counter | None) -> None:
        self._otlp = otlp
        self._sent = None if spans is None else spans.labels(outcome="sent")
        self._failed = None if spans is None else spans.labels(outcome="failed")
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._otlp.export(spans)
            return result
        finally:
            self.taken += len(spans)
            outcome = self._sent if result is SpanExportResult.SUCCESS else self._failed
            if outcome is not None:
                outcome.inc(len(spans))

    def shutdown(self) -> None:
        self._otlp.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._otlp.force_flush(timeout_millis)


class _ToOurLog(logging.Handler):
    """What OpenTelemetry has to say, in our log: a collector that is away must not fill it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = SparseLog("traces", burst=2, period_s=60.0)

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warning("traces_not_sent", kind=record.name, cause=record.getMessage()[:300])


def _listen_to_opentelemetry() -> None:
    theirs = logging.getLogger("opentelemetry")
    if not any(isinstance(handler, _ToOurLog) for handler in theirs.handlers):
        theirs.addHandler(_ToOurLog())
        theirs.propagate = False
