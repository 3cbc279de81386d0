"""What a cloud worker records: a span for each batch, and in each sample's own trace what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, format_trace_id

from services.messages import Escalation
from services.traces.exporter import Exporter
from services.traces.harmless import harmless
from services.traces.links import context_of, sampled
from services.traces.off import CloudSpans, CloudTraces, Key

__all__ = ["RecordedCloud"]


class RecordedCloud(CloudTraces):
    """Traces that are recorded and sent by `exporter`."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    @harmless(CloudSpans())
    def batch(self, network_id: str, escalations: Iterable[Escalation]) -> CloudSpans:
        """These are about to be run together; those without a trace have no span."""
        return _Batch(self._exporter, network_id, escalations)

    def stop(self) -> None:
        """Send what is due within a bound."""
        self._exporter.stop()


class _Batch(CloudSpans):
    def __init__(self, exporter: Exporter, network_id: str, escalations: Iterable[Escalation]) -> None:
        self._batch: Span | None = None
        self._spans: dict[Key, Span] = {}
        parents = [one for one in escalations if sampled(one.traceparent)]
        if not parents:
            return
        for one in parents:
            attributes: dict[str, str | int] = {
                "messaging.system": "redis",
                "dewpoint.device": one.device,
                "dewpoint.sample": one.id,
                "dewpoint.network": network_id,
                "dewpoint.attempt": one.attempt,
            }
            self._spans[one.device, one.id] = exporter.samples.start_span(
                "cloud sample", context_of(one.traceparent), SpanKind.CONSUMER, attributes
            )
        self._batch = exporter.batches.start_span(
            "cloud batch",
            attributes={"dewpoint.network": network_id, "dewpoint.samples_traced": len(parents)},
            links=[Link(span.get_span_context()) for span in self._spans.values()],
        )
        for span in self._spans.values():
            span.add_link(self._batch.get_span_context())

    @harmless()
    def answered(self, key: Key, wait_s: float) -> str | None:
        span = self._spans.get(key)
        if span is None:
            return None
        span.set_attribute("dewpoint.wait_s", wait_s)
        span.set_attribute("dewpoint.answered", True)
        return format_trace_id(span.get_span_context().trace_id)

    def __enter__(self) -> Self:
        return self

    @harmless()
    def __exit__(self, *exc: object) -> None:
        error = exc[1]
        for span in (*self._spans.values(), self._batch):
            if span is not None:
                if error is not None:
                    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                span.end()
