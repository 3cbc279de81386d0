"""What a publisher of samples records: a span for each message, with which a sample's trace begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.messages import TRACEPARENT, MessageError, Sample
from services.settings import TracesSettings
from services.traces.tracers import OFF, Tracers, context_of, traceparent_of, tracers

__all__ = ["PublishSpan", "PublisherTraces", "publisher_traces"]


class Identified(Protocol):
    """A sample that a publisher knows by its id."""

    @property
    def id(self) -> str:
        """Its id at its device."""


class PublisherTraces:
    """Traces of whoever publishes samples, recorded by `tracers`."""

    def __init__(self, tracers: Tracers = OFF) -> None:
        self._tracers = tracers

    def publishing(self, device: str, completes: Sequence[Identified]) -> PublishSpan:
        """A span that ends when the broker has the message, also where it completes no sample."""
        attributes = {
            "messaging.system": "mqtt",
            "dewpoint.device": device,
            "dewpoint.sample": ",".join(sample.id for sample in completes),
        }
        return PublishSpan(self._tracers.samples.start_span("publish", context_of(None), SpanKind.PRODUCER, attributes))

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""
        self._tracers.stop()


def publisher_traces(settings: TracesSettings, *, site: str) -> PublisherTraces:
    """Those of a publisher of samples. Raises TracesError."""
    return PublisherTraces(tracers(settings, "dewpoint-stream", site=site))


class PublishSpan:
    """The publishing of one message."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._parent = traceparent_of(span) if span.get_span_context().is_valid else None

    def payload(self, payload: bytes, *, protocol: str) -> bytes:
        """The payload to publish: with the trace in its envelope where the protocol has no user properties."""
        if protocol == "5" or self._parent is None:
            return payload
        try:
            return replace(Sample.decode(payload), traceparent=self._parent).encode()
        except MessageError:  # bare bytes and readings have no envelope
            return payload

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The user properties to publish it under."""
        return () if self._parent is None else ((TRACEPARENT, self._parent),)

    def end(self, taken: bool) -> None:
        """The broker has taken it, or refused."""
        if not taken:
            self._span.set_status(Status(StatusCode.ERROR, "refused by the broker"))
        self._span.end()
