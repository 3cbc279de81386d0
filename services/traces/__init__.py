"""Traces: one a sample, from its publisher to its final label. The only package that imports opentelemetry.

    publisher --MQTT--> edge sample --Redis--> cloud sample
       publish             |  escalate             .
                           |                       :  edge batch, cloud batch: traces of their own,
                           +-- edge final          :  with links to the samples that were computed together

A trace goes on by a W3C `traceparent`: the MQTT 5 user property, else the field of the sample's envelope, and the
field of the escalation, which the journal keeps. Spans are sent by OTLP. Where traces are off, objects of
`services.traces.off` take the calls and do nothing: opentelemetry is not imported.
"""

from services.traces.off import CloudSpans, CloudTraces, EdgeSpans, EdgeTraces, PublisherTraces, PublishSpan
from services.traces.start import TracesError, cloud_traces, edge_traces, publisher_traces

__all__ = [
    "CloudSpans",
    "CloudTraces",
    "EdgeSpans",
    "EdgeTraces",
    "PublishSpan",
    "PublisherTraces",
    "TracesError",
    "cloud_traces",
    "edge_traces",
    "publisher_traces",
]
