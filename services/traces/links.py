"""Between `traceparent` and OpenTelemetry's contexts, and between our times and its own."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

__all__ = ["context_of", "nanoseconds", "sampled", "traceparent_of"]

_SAMPLED: Final = TraceFlags.SAMPLED
_NO_PARENT: Final = Context()


def context_of(traceparent: str | None) -> Context:
    """The context in which a span goes on from a traceparent that was checked; that of a new trace where it is none."""
    if traceparent is None:
        return _NO_PARENT
    _, trace_id, span_id, flags = traceparent.split("-")
    parent = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16) & _SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent), _NO_PARENT)


def sampled(traceparent: str | None) -> bool:
    """Whether a traceparent that was checked asks for its trace to be recorded; not where it is none."""
    return traceparent is not None and bool(int(traceparent[-2:], 16) & _SAMPLED)


def traceparent_of(span: Span) -> str:
    """By which a trace goes on from `span`."""
    context = span.get_span_context()
    flags = context.trace_flags & _SAMPLED
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{flags:02x}"


def nanoseconds(at: float) -> int:
    """Epoch seconds as nanoseconds."""
    return int(at * 1e9)
