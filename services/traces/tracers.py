"""What spans of every process need: the tracers, where a trace goes on, and that recording never fails a worker.

OpenTelemetry's API does nothing by itself. Its SDK, which records, is imported by `services.traces.exporter` alone, and
that only where traces are switched on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from prometheus_client import Counter

from hybrid_model.errors import DewpointError
from services.common.logs import SparseLog
from services.settings import TracesSettings

__all__ = [
    "OFF",
    "Key",
    "Tracers",
    "TracesError",
    "context_of",
    "harmless",
    "nanoseconds",
    "sampled",
    "trace_id_of",
    "traceparent_of",
    "tracers",
]

#: (device, id)
Key = tuple[str, str]

P = ParamSpec("P")
R = TypeVar("R")

_SAMPLED: Final = TraceFlags.SAMPLED
_NO_PARENT: Final = Context()


class TracesError(DewpointError):
    """Traces are switched on and cannot be recorded; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tracers:
    """`samples` records a share of new traces, and what a sampled parent asks for; `batches` whatever is asked of it.

    `stop` sends what is due within a bound; it is called once, at the end.
    """

    samples: Tracer
    batches: Tracer
    stop: Callable[[], None]


#: Nothing is recorded.
OFF: Final = Tracers(NoOpTracer(), NoOpTracer(), lambda: None)


def tracers(
    settings: TracesSettings, service: str, *, site: str = "", worker: str = "", spans: Counter | None = None
) -> Tracers:
    """Those of one process, as the settings have them; `spans` counts what becomes of its spans, by outcome.

    Raises TracesError where the settings switch them on and OpenTelemetry's SDK is not installed.
    """
    if not settings.enabled:
        return OFF
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        importlib.import_module("opentelemetry.sdk.trace")
    except ImportError as error:
        raise TracesError(
            f"traces.enabled needs OpenTelemetry ({error}); install it: pip install 'dewpoint[traces]'"
        ) from None
    from services.traces.exporter import Exporter

    exporter = Exporter(settings, service, site=site, worker=worker, spans=spans)
    return Tracers(exporter.samples, exporter.batches, exporter.stop)


def harmless(otherwise: Any = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function answer `otherwise` where it would raise, and the log say so: no sample hangs on a trace."""

    def guarded(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                _log().warning("trace_failed", error=f"{type(error).__name__}: {error}"[:300])
                return otherwise  # type: ignore[no-any-return]

        return call

    return guarded


@cache
def _log() -> SparseLog:
    return SparseLog("traces", burst=2, period_s=60.0)


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


def trace_id_of(span: Span | None) -> str | None:
    """32 hex digits; none where there is no span."""
    return None if span is None else format_trace_id(span.get_span_context().trace_id)


def nanoseconds(at: float) -> int:
    """Epoch seconds as nanoseconds."""
    return int(at * 1e9)
