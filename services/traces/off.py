"""What workers call. These do nothing, and are shared: no object is made for a sample or a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from services.messages import Escalation, Label

if TYPE_CHECKING:
    from hybrid_model.runtime import EdgeResult

__all__ = [
    "CloudSpans",
    "CloudTraces",
    "EdgeSpans",
    "EdgeTraces",
    "Identified",
    "Key",
    "PublishSpan",
    "PublisherTraces",
    "Steps",
    "Traced",
]

#: (device, id)
Key = tuple[str, str]


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


class Identified(Protocol):
    """A sample that a publisher knows by its id."""

    @property
    def id(self) -> str:
        """Its id at its device."""


class EdgeSpans:
    """Spans of one micro-batch, or of some final labels, at the edge."""

    def committed(self) -> None:
        """The journal holds all of it: these spans end, and labels may be published."""

    def finalised(self, changed: Sequence[bool]) -> None:
        """The labels are final where `changed`: these spans end."""

    def traceparent(self, key: Key) -> str | None:
        """By which the trace of a sample goes on from here; none where it is not traced."""
        return None

    def trace_id(self, key: Key) -> str | None:
        """Of a sample's trace, 32 hex digits; none where it is not traced."""
        return None


_EDGE_SPANS: Final = EdgeSpans()


class EdgeTraces:
    """Traces of an edge worker. Safe from any thread."""

    def batch(self, samples: Sequence[Traced], result: EdgeResult, steps: Steps) -> EdgeSpans:
        """A micro-batch was decided: its new samples, the edge's answers, and when its steps ended."""
        return _EDGE_SPANS

    def finals(self, rows: Iterable[tuple[bytes, Label]]) -> EdgeSpans:
        """Hard samples are about to get their final label: each by its escalation's bytes and that label."""
        return _EDGE_SPANS

    def escalated(self, escalations: Sequence[Escalation], since: float) -> None:
        """These were sent up, from `since` (epoch seconds) until now."""

    def of_label(self, key: Key) -> tuple[tuple[str, str], ...]:
        """The user properties under which the next label of this sample is to be published."""
        return ()

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""


class CloudSpans:
    """Spans of one batch in the cloud; they end with the `with` block."""

    def answered(self, key: Key, wait_s: float) -> str | None:
        """A sample was answered, so long after its escalation was entered. Returns its trace's id, if any."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


_CLOUD_SPANS: Final = CloudSpans()


class CloudTraces:
    """Traces of a cloud worker."""

    def batch(self, network_id: str, escalations: Iterable[Escalation]) -> CloudSpans:
        """These are about to be run together."""
        return _CLOUD_SPANS

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""


class PublishSpan:
    """The publishing of one message."""

    def payload(self, payload: bytes, *, protocol: str) -> bytes:
        """The payload to publish: with the trace in its envelope where the protocol has no user properties."""
        return payload

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The user properties to publish it under."""
        return ()

    def end(self, taken: bool) -> None:
        """The broker has taken it, or refused."""


_PUBLISH_SPAN: Final = PublishSpan()


class PublisherTraces:
    """Traces of whoever publishes samples."""

    def publishing(self, device: str, completes: Sequence[Identified]) -> PublishSpan:
        """A message that completes these samples is about to be published."""
        return _PUBLISH_SPAN

    def stop(self) -> None:
        """Send what is due within a bound. Called once, at the end."""
