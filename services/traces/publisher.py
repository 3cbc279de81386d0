"""What a publisher of samples records: a span for each message, with which a sample's trace begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.messages import TRACEPARENT, MessageError, Sample
from services.traces.exporter import Exporter
from services.traces.links import context_of, traceparent_of
from services.traces.off import Identified, PublisherTraces, PublishSpan

__all__ = ["RecordedPublisher"]


class RecordedPublisher(PublisherTraces):
    """Traces that are recorded and sent by `exporter`."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def publishing(self, device: str, completes: Sequence[Identified]) -> PublishSpan:
        """A span that ends when the broker has the message, also where it completes no sample."""
        attributes = {
            "messaging.system": "mqtt",
            "dewpoint.device": device,
            "dewpoint.sample": ",".join(one.id for one in completes),
        }
        return _Publish(self._exporter.samples.start_span("publish", context_of(None), SpanKind.PRODUCER, attributes))

    def stop(self) -> None:
        """Send what is due within a bound."""
        self._exporter.stop()


class _Publish(PublishSpan):
    def __init__(self, span: Span) -> None:
        self._span, self._parent = span, traceparent_of(span)

    def payload(self, payload: bytes, *, protocol: str) -> bytes:
        if protocol == "5":
            return payload
        try:
            return replace(Sample.decode(payload), traceparent=self._parent).encode()
        except MessageError:  # bare bytes and readings have no envelope
            return payload

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        return ((TRACEPARENT, self._parent),)

    def end(self, taken: bool) -> None:
        if not taken:
            self._span.set_status(Status(StatusCode.ERROR, "refused by the broker"))
        self._span.end()
