"""An observation that remembers its trace."""

from __future__ import annotations

from prometheus_client import Histogram

__all__ = ["observe"]


def observe(histogram: Histogram, value: float, trace_id: str | None = None) -> None:
    """Observe `value`, and keep `trace_id` as its bucket's exemplar.

    Shown in the OpenMetrics format alone, which Prometheus asks for when its storage of exemplars is switched on.

    Args:
        histogram: A histogram without labels, or one of its labelled children.
        value: In the histogram's unit.
        trace_id: 32 hex digits, as traces print them; None or "" where the sample is not traced.
    """
    histogram.observe(value, {"trace_id": trace_id} if trace_id else None)
