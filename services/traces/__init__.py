"""Traces: one a sample, from its publisher to its final label. The only package that imports opentelemetry.

    publisher --MQTT--> edge sample --Redis--> cloud sample
       publish             |  escalate             .
                           |                       :  edge batch, cloud batch: traces of their own,
                           +-- edge final          :  with links to the samples that were computed together

A trace goes on by a W3C `traceparent`: the MQTT 5 user property, else the field of the sample's envelope, and the
field of the escalation, which the journal keeps. Spans are sent by OTLP. Where traces are off, the calls reach a tracer
of OpenTelemetry's API that does nothing; its SDK, the extra `traces`, is not imported then.
"""

from services.traces.cloud import CloudSpans, CloudTraces, cloud_traces
from services.traces.edge import EdgeSpans, EdgeTraces, FinalSpans, edge_traces
from services.traces.publisher import PublisherTraces, PublishSpan, publisher_traces
from services.traces.tracers import TracesError

__all__ = [
    "CloudSpans",
    "CloudTraces",
    "EdgeSpans",
    "EdgeTraces",
    "FinalSpans",
    "PublishSpan",
    "PublisherTraces",
    "TracesError",
    "cloud_traces",
    "edge_traces",
    "publisher_traces",
]
