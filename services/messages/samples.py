"""What goes up, in msgpack: samples from devices, escalations from the edge; and the cloud's replies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final, Literal, Self, cast

from services.messages.fields import (
    SCHEMA_VERSION,
    MessageError,
    bad,
    binary,
    integer,
    name,
    need,
    number,
    pack,
    seconds,
    share,
    unpack,
)
from services.messages.traceparent import TRACEPARENT, traceparent

DIMENSIONS_MAX: Final = 4
EXITS_MAX: Final = 64
TOP_MAX: Final = 1000
ESCALATION_BYTES_MAX: Final = 1 << 20
REPLY_BYTES_MAX: Final = 1 << 16
#: An audit stands for 1 / share samples: a lie must not outweigh everything.
AUDIT_SHARE_MIN: Final = 1e-6

SampleKind = Literal["image", "array"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample in our own envelope.

    `kind` "image": `data` is a JPEG, PNG or WebP file, `shape` and `dtype` say what it decodes to, or are none.
    `kind` "array": `data` is the row-major little-endian array of `shape` and `dtype` ("uint8" or "float32").
    `captured_at` is epoch seconds, UTC. `traceparent`: the publisher's trace, where there is one and no MQTT 5.
    """

    id: str
    captured_at: float
    kind: SampleKind
    shape: tuple[int, ...] | None
    dtype: str | None
    data: bytes
    traceparent: str | None = None

    def encode(self) -> bytes:
        """The msgpack map `{v, id, captured_at, kind, shape, dtype, data}`, and any `traceparent`."""
        traced = {} if self.traceparent is None else {TRACEPARENT: self.traceparent}
        return pack(
            {
                "v": SCHEMA_VERSION,
                "id": self.id,
                "captured_at": self.captured_at,
                "kind": self.kind,
                "shape": None if self.shape is None else list(self.shape),
                "dtype": self.dtype,
                "data": self.data,
                **traced,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a sample. Raises MessageError (not_msgpack, wrong_version, missing_field, bad_field)."""
        fields = unpack(payload)
        kind = fields.get("kind")
        if kind not in ("image", "array"):
            raise bad("kind", kind)
        shape, dtype = fields.get("shape"), fields.get("dtype")
        if dtype not in (None, "uint8", "float32"):
            raise bad("dtype", dtype)
        return cls(
            id=name(fields, "id"),
            captured_at=seconds(fields, "captured_at"),
            kind=cast(SampleKind, kind),
            shape=None if shape is None else _shape(shape),
            dtype=dtype,
            data=binary(fields, "data"),
            traceparent=traceparent(fields.get(TRACEPARENT)),
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """What makes an escalation an audit: the sample left at `exit`, and a `share` of those that do is audited."""

    exit: int
    share: float


@dataclass(frozen=True, slots=True)
class Escalation:
    """A hard sample on its way up: packed features, and what every computed exit thought of it.

    `attempt` counts from 1; `exits` holds (class index, score) of exit 0, 1, ... without a gap, as `exit_answers` makes
    it; `captured_at` is epoch seconds. `key` is the id of the key under which the features are encrypted; none where
    they are plain. With `audit` it is a confident sample, to be checked and not answered. `traceparent`: where its
    trace goes on, if there is one. `guarded`: it is out of domain and the guard is on, so that it rises at any
    threshold. `top`: how many of the most probable classes the reply shall tell. On the wire `network_id` is the field
    `b`.
    """

    id: str
    site: str
    worker: str
    device: str
    network_id: str
    attempt: int
    exits: tuple[tuple[int, float], ...]
    features: bytes
    captured_at: float
    key: str | None = None
    audit: Audit | None = None
    traceparent: str | None = None
    guarded: bool = False
    top: int = 0

    def encode(self) -> bytes:
        """The msgpack map `{v, id, site, worker, device, b, attempt, exits, features, captured_at}`.

        Any `key`, any `audit: {exit, share}`, any `traceparent`, `guarded` where it is true, and `top` above 0, follow.
        """
        encrypted = {} if self.key is None else {"key": self.key}
        audited = {} if self.audit is None else {"audit": {"exit": self.audit.exit, "share": self.audit.share}}
        traced = {} if self.traceparent is None else {TRACEPARENT: self.traceparent}
        guarded = {"guarded": True} if self.guarded else {}
        top = {"top": self.top} if self.top else {}
        return pack(
            {
                "v": SCHEMA_VERSION,
                "id": self.id,
                "site": self.site,
                "worker": self.worker,
                "device": self.device,
                "b": self.network_id,
                "attempt": self.attempt,
                "exits": [list(pair) for pair in self.exits],
                "features": self.features,
                "captured_at": self.captured_at,
                **encrypted,
                **audited,
                **traced,
                **guarded,
                **top,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read an escalation. Raises MessageError (oversized above a MiB, and as `Sample.decode`)."""
        fields = unpack(_bounded(payload, ESCALATION_BYTES_MAX))
        return cls(
            id=name(fields, "id"),
            site=name(fields, "site"),
            worker=name(fields, "worker"),
            device=name(fields, "device"),
            network_id=name(fields, "b"),
            attempt=integer(fields, "attempt", least=1),
            exits=_exits(need(fields, "exits")),
            features=binary(fields, "features"),
            captured_at=seconds(fields, "captured_at"),
            key=None if fields.get("key") is None else name(fields, "key"),
            audit=_audit(fields.get("audit")),
            traceparent=traceparent(fields.get(TRACEPARENT)),
            guarded=fields.get("guarded") is True,  # for statistics: nothing else in it is a reason to lose a sample
            top=_top_count(fields.get("top")),
        )


def exit_answers(classes: Iterable[int], scores: Iterable[float]) -> tuple[tuple[int, float], ...]:
    """What every exit said of one sample, as `Escalation.exits` holds it: (class index, score), exit 0 first.

    Readers take the place in the list for the exit's number. Therefore the list ends before the first exit that was not
    computed (class -1) or whose score is not finite, whatever comes after it.
    """
    computed = takewhile(lambda pair: pair[0] >= 0 and math.isfinite(pair[1]), zip(classes, scores, strict=True))
    return tuple((int(class_index), float(score)) for class_index, score in computed)


@dataclass(frozen=True, slots=True)
class EscalationHead:
    """As much of an escalation as it takes to answer that it could not be decoded."""

    site: str
    worker: str
    device: str
    id: str
    attempt: int


def decode_head(payload: bytes) -> EscalationHead:
    """Read the head of an escalation whose other fields may be anything. Raises MessageError."""
    fields = unpack(payload, any_version=True)
    return EscalationHead(
        site=name(fields, "site"),
        worker=name(fields, "worker"),
        device=name(fields, "device"),
        id=name(fields, "id"),
        attempt=integer(fields, "attempt", least=1),
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """The cloud's answer to one attempt: either `class_index` and `confidence`, or `error`.

    `top`: (class index, probability) of the most probable classes, where the escalation asked for them.
    """

    device: str
    id: str
    attempt: int
    class_index: int | None
    confidence: float | None
    error: str | None
    top: tuple[tuple[int, float], ...] | None = None

    def encode(self) -> bytes:
        """The msgpack map `{v, device, id, attempt, class, confidence, error}`, and any `top`."""
        return pack(
            {
                "v": SCHEMA_VERSION,
                "device": self.device,
                "id": self.id,
                "attempt": self.attempt,
                "class": self.class_index,
                "confidence": self.confidence,
                "error": self.error,
                **({} if self.top is None else {"top": [list(pair) for pair in self.top]}),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a reply. Raises MessageError (oversized above 64 KiB, and as `Sample.decode`)."""
        fields = unpack(_bounded(payload, REPLY_BYTES_MAX))
        error = need(fields, "error")
        answered = error is None
        if not answered and not isinstance(error, str):
            raise bad("error", error)
        if not answered and (need(fields, "class") is not None or need(fields, "confidence") is not None):
            raise MessageError("bad_field", "a reply holds a class and confidence or an error, not both")
        return cls(
            device=name(fields, "device"),
            id=name(fields, "id"),
            attempt=integer(fields, "attempt", least=1),
            class_index=integer(fields, "class", least=0) if answered else None,
            confidence=share(fields, "confidence") if answered else None,
            error=error,
            top=_top(fields.get("top")) if answered else None,
        )


def _bounded(payload: bytes, bytes_max: int) -> bytes:
    if len(payload) > bytes_max:
        raise MessageError("oversized", f"{len(payload)} bytes, {bytes_max} are allowed")
    return payload


def _shape(value: Any) -> tuple[int, ...]:
    if type(value) is not list or not 0 < len(value) <= DIMENSIONS_MAX:
        raise bad("shape", value)
    if any(type(n) is not int or not 0 < n < 2**31 for n in value):
        raise bad("shape", value)
    return tuple(value)


def _audit(value: Any) -> Audit | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise bad("audit", value)
    found, chance = integer(value, "exit", least=0), number(value, "share")
    if found >= EXITS_MAX or not AUDIT_SHARE_MIN <= chance <= 1:
        raise bad("audit", value)
    return Audit(found, chance)


def _top_count(value: Any) -> int:
    """What cannot be told is not asked for: no reason to lose a sample."""
    return value if type(value) is int and 0 < value <= TOP_MAX else 0


def _top(value: Any) -> tuple[tuple[int, float], ...] | None:
    if value is None:
        return None
    if type(value) is not list or len(value) > TOP_MAX or any(type(one) is not list or len(one) != 2 for one in value):
        raise bad("top", value)
    pairs = [{"class": one[0], "probability": one[1]} for one in value]
    return tuple((integer(one, "class", least=0), share(one, "probability")) for one in pairs)


def _exits(value: Any) -> tuple[tuple[int, float], ...]:
    if type(value) is not list or len(value) > EXITS_MAX:
        raise bad("exits", type(value).__name__)
    pairs = []
    for pair in value:
        if type(pair) is not list or len(pair) != 2:
            raise bad("exits", pair)
        fields = {"class": pair[0], "score": pair[1]}
        pairs.append((integer(fields, "class", least=0), number(fields, "score")))
    return tuple(pairs)
