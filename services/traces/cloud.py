"""What a cloud worker records: a span for each batch, and in each sample's own trace what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from prometheus_client import Counter

from services.messages import Escalation
from services.settings import TracesSettings
from services.traces.tracers import OFF, Key, Tracers, context_of, harmless, sampled, trace_id_of, tracers

__all__ = ["CloudSpans", "CloudTraces", "cloud_traces"]


class CloudTraces:
    """Traces of a cloud worker, recorded by `tracers`. Nothing is raised."""

    def __init__(self, tracers: Tracers = OFF) -> None:
        self._tracers = tracers

    def batch(self, network_id: str, escalations: Iterable[Escalation]) -> CloudSpans:
        """These are about to be run together; those without a trace have no span."""
        spans = CloudSpans(self._tracers)
        spans.begin(network_id, escalations)
        return spans

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""
        self._tracers.stop()


def cloud_traces(settings: TracesSettings, *, worker: str, spans: Counter | None = None) -> CloudTraces:
    """Those of a cloud worker; `spans` counts what becomes of them, by outcome. Raises TracesError."""
    return CloudTraces(tracers(settings, "dewpoint-cloud", worker=worker, spans=spans))


class CloudSpans:
    """Spans of one batch in the cloud; they end with the `with` block."""

    def __init__(self, tracers: Tracers) -> None:
        self._tracers = tracers
        self._batch: Span | None = None
        self._spans: dict[Key, Span] = {}

    @harmless()
    def begin(self, network_id: str, escalations: Iterable[Escalation]) -> None:
        """Start a span for each sample that is traced, and one for the batch where there is such a sample."""
        for escalation in escalations:
            if not sampled(escalation.traceparent):
                continue
            attributes: dict[str, str | int] = {
                "messaging.system": "redis",
                "dewpoint.device": escalation.device,
                "dewpoint.sample": escalation.id,
                "dewpoint.network": network_id,
                "dewpoint.attempt": escalation.attempt,
            }
            span = self._tracers.samples.start_span(
                "cloud sample", context_of(escalation.traceparent), SpanKind.CONSUMER, attributes
            )
            if span.is_recording():
                self._spans[escalation.device, escalation.id] = span
        if not self._spans:
            return
        self._batch = self._tracers.batches.start_span(
            "cloud batch",
            attributes={"dewpoint.network": network_id, "dewpoint.samples_traced": len(self._spans)},
            links=[Link(span.get_span_context()) for span in self._spans.values()],
        )
        for span in self._spans.values():
            span.add_link(self._batch.get_span_context())

    @harmless()
    def answered(self, key: Key, wait_s: float) -> str | None:
        """A sample was answered, so long after its escalation was entered. Returns its trace's id, if any."""
        span = self._spans.get(key)
        if span is None:
            return None
        span.set_attribute("dewpoint.wait_s", wait_s)
        span.set_attribute("dewpoint.answered", True)
        return trace_id_of(span)

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
