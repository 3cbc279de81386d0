"""What an edge worker records: a span for each sample, one for each micro-batch, and those of escalation and final."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
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

__all__ = ["EdgeSpans", "EdgeTraces", "FinalSpans", "Steps", "Traced", "edge_traces"]

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


class Steps(Protocol):
    """When the steps of a batch ended; the edge worker's `StepTimes` is one."""

    @property
    def begun_ns(self) -> int:
        """When the batch was begun, epoch nanoseconds."""

    @property
    def ended_s(self) -> Mapping[str, float]:
        """By step, seconds from then to its end; steps are added as they end."""


class EdgeTraces:
    """Traces of an edge worker, recorded by `tracers`. Safe from any thread; nothing is raised."""

    def __init__(self, tracers: Tracers = OFF) -> None:
        self._tracers = tracers
        self._labels = _Labels()

    def batch(self, samples: Sequence[Traced], result: EdgeResult | None, steps: Steps) -> EdgeSpans:
        """A micro-batch was decided: its new samples, the edge's answers for them, and when its steps ended."""
        spans = EdgeSpans(self._tracers, self._labels, steps)
        if result is not None:
            spans.begin(samples, result)
        return spans

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

    def __init__(self, tracers: Tracers, labels: _Labels, steps: Steps) -> None:
        self._tracers, self._labels, self._steps = tracers, labels, steps
        self._spans: dict[Key, Span] = {}

    @harmless()
    def begin(self, samples: Sequence[Traced], result: EdgeResult) -> None:
        """The edge half has decided on these new samples."""
        for row, sample in enumerate(samples):
            delivery, exit_index = sample.arrival.delivery, int(result.exit_index[row])
            parent = traceparent(delivery.user_property(TRACEPARENT)) or sample.traceparent
            if parent is not None and not sampled(parent):
                continue
            span = self._tracers.samples.start_span(
                "edge sample",
                context_of(parent),
                SpanKind.CONSUMER,
                {
                    "messaging.system": "mqtt",
                    "dewpoint.device": sample.key[0],
                    "dewpoint.sample": sample.key[1],
                    "dewpoint.exit": str(exit_index) if exit_index >= 0 else "escalated",
                    "dewpoint.confidence": float(result.confidence[row]),
                },
                start_time=nanoseconds(delivery.received_at),
            )
            if span.is_recording():
                self._spans[sample.key] = span

    @harmless()
    def committed(self) -> None:
        """The journal holds all of it: these spans end, and labels may be published."""
        if not self._spans:
            return
        ended_ns = {step: self._steps.begun_ns + round(1e9 * ended_s) for step, ended_s in self._steps.ended_s.items()}
        batch = self._batch_spans(self._tracers.batches, ended_ns)
        link = Link(batch.get_span_context())
        for key, span in self._spans.items():
            span.add_link(link.context)
            span.end(ended_ns["commit"])
            self._labels.put(key, traceparent_of(span))

    @harmless()
    def traceparent(self, key: Key) -> str | None:
        """By which the trace of a sample goes on from here; none where it is not traced."""
        span = self._spans.get(key)
        return None if span is None else traceparent_of(span)

    def trace_id(self, key: Key) -> str | None:
        """Of a sample's trace, 32 hex digits; none where it is not traced."""
        return trace_id_of(self._spans.get(key))

    def _batch_spans(self, tracer: Tracer, ended_ns: Mapping[str, int]) -> Span:
        batch = tracer.start_span(
            "edge batch",
            attributes={"dewpoint.samples_traced": len(self._spans)},
            links=[Link(span.get_span_context()) for span in self._spans.values()],
            start_time=self._steps.begun_ns,
        )
        within, begun_ns = set_span_in_context(batch), self._steps.begun_ns
        for step, step_ended_ns in ended_ns.items():
            tracer.start_span(f"edge {step}", within, start_time=begun_ns).end(step_ended_ns)
            begun_ns = step_ended_ns
        batch.end(begun_ns)
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
