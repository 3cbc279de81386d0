"""What an edge worker records: a span for each sample, one for each micro-batch, and those of escalation and final."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.trace import Link, Span, SpanKind, Tracer, set_span_in_context
from prometheus_client import Counter

from services.messages import TRACEPARENT, Escalation, Label, MessageError, traceparent
from services.settings import TracesSettings
from services.traces.tracers import (
    OFF,
    Key,
    Tracers,
    context_of,
    harmless,
    nanoseconds,
    sampled,
    trace_id_of,
    traceparent_of,
    tracers,
)

if TYPE_CHECKING:
    from hybrid_model.runtime import EdgeResult

__all__ = ["EdgeSpans", "EdgeTraces", "FinalSpans", "Traced", "edge_traces"]

#: Labels whose trace is remembered until they are published.
_LABELS_MAX: Final = 8192
_FIELD: Final = TRACEPARENT.encode()


class Traced(Protocol):
    """What a trace is told of a sample at the edge; the edge worker's `Candidate` is one."""

    @property
    def key(self) -> Key:
        """(device, id)."""

    @property
    def traceparent(self) -> str | None:
        """That of its envelope, checked."""

    @property
    def arrival(self) -> Any:
        """Its message: `delivery` with `received_at` and `user_property`."""


class EdgeTraces:
    """Traces of an edge worker, recorded by `tracers`. Safe from any thread; nothing is raised."""

    def __init__(self, tracers: Tracers = OFF) -> None:
        self._tracers = tracers
        self._labels = _Labels()

    def batch(self) -> EdgeSpans:
        """A micro-batch was taken in hand."""
        return EdgeSpans(self._tracers, self._labels)

    def finals(self, rows: Iterable[tuple[bytes, Label]]) -> FinalSpans:
        """Hard samples are about to get their final label: each by its escalation's bytes and that label."""
        spans = FinalSpans(self._tracers.samples, self._labels)
        spans.begin(rows)
        return spans

    @harmless()
    def escalated(self, escalations: Sequence[Escalation], since: float) -> None:
        """These were sent up: a span for each from `since` (epoch seconds) until now."""
        for escalation in escalations:
            if sampled(escalation.traceparent):
                span = self._tracers.samples.start_span(
                    "edge escalate",
                    context_of(escalation.traceparent),
                    SpanKind.PRODUCER,
                    {"messaging.system": "redis", "dewpoint.attempt": escalation.attempt},
                    start_time=nanoseconds(since),
                )
                span.end()

    @harmless(())
    def of_label(self, key: Key) -> tuple[tuple[str, str], ...]:
        """The user properties under which the next label of this sample is to be published: `traceparent`, if any."""
        parent = self._labels.take(key)
        return () if parent is None else ((TRACEPARENT, parent),)

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""
        self._tracers.stop()


def edge_traces(settings: TracesSettings, *, site: str, worker: str, spans: Counter | None = None) -> EdgeTraces:
    """Those of an edge worker; `spans` counts what becomes of them, by outcome. Raises TracesError."""
    return EdgeTraces(tracers(settings, "dewpoint-edge", site=site, worker=worker, spans=spans))


class _Labels:
    """By which traceparent the next label of a sample is published; the oldest are forgotten where there are many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parents: OrderedDict[Key, str] = OrderedDict()

    def put(self, key: Key, parent: str) -> None:
        with self._lock:
            self._parents[key] = parent
            self._parents.move_to_end(key)
            if len(self._parents) > _LABELS_MAX:
                self._parents.popitem(last=False)

    def take(self, key: Key) -> str | None:
        with self._lock:
            return self._parents.pop(key, None)


class EdgeSpans:
    """Spans of one micro-batch, and of its samples.

    A sample's span reaches from the receipt of its message to the commit; the steps are spans of the batch's trace.
    What is never committed leaves no span.
    """

    def __init__(self, tracers: Tracers, labels: _Labels) -> None:
        self._tracers, self._labels = tracers, labels
        self._times = [time.time_ns()]
        self._spans: dict[Key, Span] = {}

    @harmless()
    def decoded(self, samples: Sequence[Traced]) -> None:
        """The messages were decoded; `samples` are new."""
        self._times.append(time.time_ns())
        for sample in samples:
            delivery = sample.arrival.delivery
            parent = traceparent(delivery.user_property(TRACEPARENT)) or sample.traceparent
            if parent is not None and not sampled(parent):
                continue
            span = self._tracers.samples.start_span(
                "edge sample",
                context_of(parent),
                SpanKind.CONSUMER,
                {"messaging.system": "mqtt", "dewpoint.device": sample.key[0], "dewpoint.sample": sample.key[1]},
                start_time=nanoseconds(delivery.received_at),
            )
            if span.is_recording():
                self._spans[sample.key] = span

    @harmless()
    def inferred(self, samples: Sequence[Traced], result: EdgeResult) -> None:
        """The edge half has decided; `samples` as before."""
        self._times.append(time.time_ns())
        if not self._spans:
            return
        for row, sample in enumerate(samples):
            span = self._spans.get(sample.key)
            if span is not None:
                exit_index = int(result.exit_index[row])
                span.set_attribute("dewpoint.exit", str(exit_index) if exit_index >= 0 else "escalated")
                span.set_attribute("dewpoint.confidence", float(result.confidence[row]))

    @harmless()
    def committed(self) -> None:
        """The journal holds all of it: these spans end, and labels may be published."""
        if not self._spans:
            return
        self._times.append(time.time_ns())
        batch = self._batch_spans(self._tracers.batches)
        link = Link(batch.get_span_context())
        for key, span in self._spans.items():
            span.add_link(link.context)
            span.end(self._times[-1])
            self._labels.put(key, traceparent_of(span))

    @harmless()
    def traceparent(self, key: Key) -> str | None:
        """By which the trace of a sample goes on from here; none where it is not traced."""
        span = self._spans.get(key)
        return None if span is None else traceparent_of(span)

    def trace_id(self, key: Key) -> str | None:
        """Of a sample's trace, 32 hex digits; none where it is not traced."""
        return trace_id_of(self._spans.get(key))

    def _batch_spans(self, tracer: Tracer) -> Span:
        batch = tracer.start_span(
            "edge batch",
            attributes={"dewpoint.samples_traced": len(self._spans)},
            links=[Link(span.get_span_context()) for span in self._spans.values()],
            start_time=self._times[0],
        )
        within = set_span_in_context(batch)
        for step, begun, ended in zip(("decode", "infer", "commit"), self._times, self._times[1:], strict=False):
            tracer.start_span(f"edge {step}", within, start_time=begun).end(ended)
        batch.end(self._times[-1])
        return batch


class FinalSpans:
    """A span for each hard sample, from its reply (or whatever settled it) to the commit of its final label."""

    def __init__(self, tracer: Tracer, labels: _Labels) -> None:
        self._tracer, self._labels = tracer, labels
        self._spans: list[Span | None] = []
        self._by_key: dict[Key, Span] = {}

    @harmless()
    def begin(self, rows: Iterable[tuple[bytes, Label]]) -> None:
        """Start them, each by its escalation's bytes and its final label."""
        for escalation, label in rows:
            span = self._started(escalation, label)
            self._spans.append(span)
            if span is not None:
                key = label.device, label.id
                self._by_key[key] = span
                self._labels.put(key, traceparent_of(span))

    @harmless()
    def finalised(self, changed: Sequence[bool]) -> None:
        """The labels are final where `changed`: these spans end."""
        for span, was_waiting in zip(self._spans, changed, strict=False):  # fewer spans where one could not be started
            if span is not None and was_waiting:
                span.end()

    def trace_id(self, key: Key) -> str | None:
        """Of a sample's trace, 32 hex digits; none where it is not traced."""
        return trace_id_of(self._by_key.get(key))

    def _started(self, escalation: bytes, label: Label) -> Span | None:
        if _FIELD not in escalation:  # most are not traced: no need to decode them
            return None
        try:
            parent = Escalation.decode(escalation).traceparent
        except MessageError:  # of a row that somebody else wrote; its label does not hang on it
            return None
        if not sampled(parent):
            return None
        attributes: dict[str, str | bool] = {
            "dewpoint.exit": str(label.exit),
            "dewpoint.reason": label.reason,
            "dewpoint.corrected": label.corrected,
        }
        span = self._tracer.start_span("edge final", context_of(parent), attributes=attributes)
        return span if span.is_recording() else None
