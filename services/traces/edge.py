"""What an edge worker records: a span for each sample, one for each micro-batch, and those of escalation and final."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Link, Span, SpanKind, Tracer, format_trace_id, set_span_in_context

from services.messages import TRACEPARENT, Escalation, Label, MessageError, traceparent
from services.traces.exporter import Exporter
from services.traces.harmless import harmless
from services.traces.links import context_of, nanoseconds, sampled, traceparent_of
from services.traces.off import EdgeSpans, EdgeTraces, Key, Steps, Traced

if TYPE_CHECKING:
    from hybrid_model.runtime import EdgeResult

__all__ = ["RecordedEdge"]

_LABELS_MAX: Final = 8192
_FIELD: Final = TRACEPARENT.encode()


class RecordedEdge(EdgeTraces):
    """Traces that are recorded and sent by `exporter`."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._labels = _Labels()

    @harmless(EdgeSpans())
    def batch(self, samples: Sequence[Traced], result: EdgeResult, steps: Steps) -> EdgeSpans:
        """A micro-batch was decided."""
        return _Batch(self._exporter, self._labels, samples, result, steps)

    @harmless(EdgeSpans())
    def finals(self, rows: Iterable[tuple[bytes, Label]]) -> EdgeSpans:
        """Hard samples are about to get their final label."""
        return _Finals(self._exporter.samples, self._labels, rows)

    @harmless()
    def escalated(self, escalations: Sequence[Escalation], since: float) -> None:
        """A span for each from `since` until now."""
        for one in escalations:
            if sampled(one.traceparent):
                span = self._exporter.samples.start_span(
                    "edge escalate",
                    context_of(one.traceparent),
                    SpanKind.PRODUCER,
                    {"messaging.system": "redis", "dewpoint.attempt": one.attempt},
                    start_time=nanoseconds(since),
                )
                span.end()

    @harmless(())
    def of_label(self, key: Key) -> tuple[tuple[str, str], ...]:
        """`traceparent` where the sample's trace goes on; for one label."""
        found = self._labels.take(key)
        return () if found is None else ((TRACEPARENT, found),)

    def stop(self) -> None:
        """Send what is due within a bound."""
        self._exporter.stop()


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


class _Batch(EdgeSpans):
    """A sample's span reaches from the receipt of its message to the commit; the steps are spans of the batch's trace.

    What is never committed leaves no span.
    """

    def __init__(
        self, exporter: Exporter, labels: _Labels, samples: Sequence[Traced], result: EdgeResult, steps: Steps
    ) -> None:
        self._exporter, self._labels, self._steps = exporter, labels, steps
        self._spans: dict[Key, Span] = {}
        for row, sample in enumerate(samples):
            parent = traceparent(sample.arrival.delivery.user_property(TRACEPARENT)) or sample.traceparent
            if parent is not None and not sampled(parent):
                continue
            exit_index = int(result.exit_index[row])
            span = self._exporter.samples.start_span(
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
                start_time=nanoseconds(sample.arrival.delivery.received_at),
            )
            if span.is_recording():
                self._spans[sample.key] = span

    @harmless()
    def committed(self) -> None:
        if not self._spans:
            return
        ended_ns = {step: self._steps.begun_ns + round(1e9 * ended_s) for step, ended_s in self._steps.ended_s.items()}
        batch = self._batch_spans(self._exporter.batches, ended_ns)
        link = Link(batch.get_span_context())
        for key, span in self._spans.items():
            span.add_link(link.context)
            span.end(ended_ns["commit"])
            self._labels.put(key, traceparent_of(span))

    @harmless()
    def traceparent(self, key: Key) -> str | None:
        span = self._spans.get(key)
        return None if span is None else traceparent_of(span)

    def trace_id(self, key: Key) -> str | None:
        return _trace_id(self._spans.get(key))

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


class _Finals(EdgeSpans):
    """A span for each hard sample, from its reply (or whatever settled it) to the commit of its final label."""

    def __init__(self, tracer: Tracer, labels: _Labels, rows: Iterable[tuple[bytes, Label]]) -> None:
        self._labels = labels
        self._spans: list[tuple[Key, Span] | None] = [self._started(tracer, *row) for row in rows]
        self._by_key = dict(one for one in self._spans if one is not None)
        for key, span in self._by_key.items():
            self._labels.put(key, traceparent_of(span))

    @harmless()
    def finalised(self, changed: Sequence[bool]) -> None:
        for one, was_waiting in zip(self._spans, changed, strict=True):
            if one is not None and was_waiting:
                one[1].end()

    def trace_id(self, key: Key) -> str | None:
        return _trace_id(self._by_key.get(key))

    def _started(self, tracer: Tracer, escalation: bytes, label: Label) -> tuple[Key, Span] | None:
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
        return (label.device, label.id), tracer.start_span("edge final", context_of(parent), attributes=attributes)


def _trace_id(span: Span | None) -> str | None:
    return None if span is None else format_trace_id(span.get_span_context().trace_id)
