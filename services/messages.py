"""What travels: sample, escalation, reply, label, status, control. Encoding, decoding and the checks at every door.

Samples, escalations and replies are msgpack maps with a version `v`; labels, status and control are JSON for anyone to
read. Decoding trusts nothing: whatever is wrong with the bytes is a `MessageError` with a reason to count.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Self, TypeVar, cast
from urllib.parse import quote, unquote

import msgpack

__all__ = [
    "SCHEMA_VERSION",
    "Budget",
    "Control",
    "Escalation",
    "EscalationHead",
    "Label",
    "LabelReason",
    "LabelStatus",
    "MessageError",
    "Reply",
    "Sample",
    "Status",
    "control_topic",
    "decode_head",
    "device_of_level",
    "input_topic",
    "label_topic",
    "level_of_device",
    "parse_json",
    "sample_id",
    "status_topic",
    "window_id",
]

SCHEMA_VERSION: Final = 1
NAME_CHARS_MAX: Final = 256
EXITS_MAX: Final = 64
DIMENSIONS_MAX: Final = 4

SampleKind = Literal["image", "array"]
LabelStatus = Literal["provisional", "final", "correction"]
LabelReason = Literal["confident", "escalated", "deadline", "offline", "shed", "failed"]
WorkerState = Literal["online", "stopped", "offline"]

_STATUSES: Final = frozenset(("provisional", "final", "correction"))
_REASONS: Final = frozenset(("confident", "escalated", "deadline", "offline", "shed", "failed"))
_STATES: Final = frozenset(("online", "stopped", "offline"))
_BUDGETS: Final = frozenset(
    ("escalated_share", "escalations_per_s", "energy_j_per_sample", "bytes_per_day", "latency_p99_ms")
)
T = TypeVar("T")


class MessageError(ValueError):
    """Bytes that are not the message they should be.

    `reason` is a short snake_case word, fit for a metric's label; `detail` says more, for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample in our own envelope.

    `kind` "image": `data` is a JPEG, PNG or WebP file, `shape` and `dtype` say what it decodes to, or are none.
    `kind` "array": `data` is the row-major little-endian array of `shape` and `dtype` ("uint8" or "float32").
    `captured_at` is epoch seconds, UTC.
    """

    id: str
    captured_at: float
    kind: SampleKind
    shape: tuple[int, ...] | None
    dtype: str | None
    data: bytes

    def encode(self) -> bytes:
        """The msgpack map `{v, id, captured_at, kind, shape, dtype, data}`."""
        return _pack(
            {
                "v": SCHEMA_VERSION,
                "id": self.id,
                "captured_at": self.captured_at,
                "kind": self.kind,
                "shape": None if self.shape is None else list(self.shape),
                "dtype": self.dtype,
                "data": self.data,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a sample. Raises MessageError (not_msgpack, wrong_version, missing_field, bad_field)."""
        fields = _unpack(payload)
        kind = fields.get("kind")
        if kind not in ("image", "array"):
            raise _bad("kind", kind)
        shape, dtype = fields.get("shape"), fields.get("dtype")
        if dtype not in (None, "uint8", "float32"):
            raise _bad("dtype", dtype)
        return cls(
            id=_name(fields, "id"),
            captured_at=_time(fields, "captured_at"),
            kind=cast(SampleKind, kind),
            shape=None if shape is None else _shape(shape),
            dtype=dtype,
            data=_bytes(fields, "data"),
        )


@dataclass(frozen=True, slots=True)
class Escalation:
    """A hard sample on its way up: packed features, and what every computed exit thought of it.

    `b` is the network id; `attempt` counts from 1; `exits` holds (class index, score) by exit; `captured_at` is epoch
    seconds.
    """

    id: str
    site: str
    worker: str
    device: str
    b: str
    attempt: int
    exits: tuple[tuple[int, float], ...]
    features: bytes
    captured_at: float

    def encode(self) -> bytes:
        """The msgpack map `{v, id, site, worker, device, b, attempt, exits, features, captured_at}`."""
        return _pack(
            {
                "v": SCHEMA_VERSION,
                "id": self.id,
                "site": self.site,
                "worker": self.worker,
                "device": self.device,
                "b": self.b,
                "attempt": self.attempt,
                "exits": [list(pair) for pair in self.exits],
                "features": self.features,
                "captured_at": self.captured_at,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read an escalation. Raises MessageError."""
        fields = _unpack(payload)
        return cls(
            id=_name(fields, "id"),
            site=_name(fields, "site"),
            worker=_name(fields, "worker"),
            device=_name(fields, "device"),
            b=_name(fields, "b"),
            attempt=_integer(fields, "attempt", least=1),
            exits=_exits(_need(fields, "exits")),
            features=_bytes(fields, "features"),
            captured_at=_time(fields, "captured_at"),
        )


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
    fields = _unpack(payload, any_version=True)
    return EscalationHead(
        site=_name(fields, "site"),
        worker=_name(fields, "worker"),
        device=_name(fields, "device"),
        id=_name(fields, "id"),
        attempt=_integer(fields, "attempt", least=1),
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """The cloud's answer to one attempt: either `class_index` and `confidence`, or `error`."""

    device: str
    id: str
    attempt: int
    class_index: int | None
    confidence: float | None
    error: str | None

    def encode(self) -> bytes:
        """The msgpack map `{v, device, id, attempt, class, confidence, error}`."""
        return _pack(
            {
                "v": SCHEMA_VERSION,
                "device": self.device,
                "id": self.id,
                "attempt": self.attempt,
                "class": self.class_index,
                "confidence": self.confidence,
                "error": self.error,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a reply. Raises MessageError."""
        fields = _unpack(payload)
        error = _need(fields, "error")
        answered = error is None
        if not answered and not isinstance(error, str):
            raise _bad("error", error)
        if not answered and (_need(fields, "class") is not None or _need(fields, "confidence") is not None):
            raise MessageError("bad_field", "a reply holds a class and confidence or an error, not both")
        return cls(
            device=_name(fields, "device"),
            id=_name(fields, "id"),
            attempt=_integer(fields, "attempt", least=1),
            class_index=_integer(fields, "class", least=0) if answered else None,
            confidence=_share(fields, "confidence") if answered else None,
            error=error,
        )


@dataclass(frozen=True, slots=True)
class Label:
    """An answer for one sample, as it is published.

    `exit` is the edge exit's number or "cloud"; `corrected` says that a final differs from the provisional before it;
    `bundle` is `NAME@NETWORK_ID`; `energy_j` is the estimated computation on the path to this label.
    """

    id: str
    device: str
    class_index: int
    label: str
    confidence: float | None
    exit: int | Literal["cloud"]
    status: LabelStatus
    reason: LabelReason
    corrected: bool
    captured_at: float
    decided_at: float
    bundle: str
    energy_j: float | None

    def encode(self) -> bytes:
        """The JSON object; the same label always gives the same bytes."""
        return _json(
            {
                "id": self.id,
                "device": self.device,
                "class": self.class_index,
                "label": self.label,
                "confidence": self.confidence,
                "exit": self.exit,
                "status": self.status,
                "reason": self.reason,
                "corrected": self.corrected,
                "captured_at": self.captured_at,
                "decided_at": self.decided_at,
                "bundle": self.bundle,
                "energy_j": self.energy_j,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a label. Raises MessageError."""
        fields = _object(payload)
        where = _need(fields, "exit")
        if where != "cloud" and not (type(where) is int and 0 <= where < EXITS_MAX):
            raise _bad("exit", where)
        corrected = _need(fields, "corrected")
        if not isinstance(corrected, bool):
            raise _bad("corrected", corrected)
        return cls(
            id=_name(fields, "id"),
            device=_name(fields, "device"),
            class_index=_integer(fields, "class", least=0),
            label=_text(fields, "label"),
            confidence=_or_none(fields, "confidence", _share),
            exit=where,
            status=cast(LabelStatus, _one_of(fields, "status", _STATUSES)),
            reason=cast(LabelReason, _one_of(fields, "reason", _REASONS)),
            corrected=corrected,
            captured_at=_time(fields, "captured_at"),
            decided_at=_time(fields, "decided_at"),
            bundle=_text(fields, "bundle"),
            energy_j=_or_none(fields, "energy_j", _number),
        )


@dataclass(frozen=True, slots=True)
class Status:
    """What an edge worker says of itself, retained: `control` is the control it follows, or none."""

    state: WorkerState
    worker: str
    bundle: str
    kernel: str | None = None
    control: Mapping[str, Any] | None = None

    def encode(self) -> bytes:
        """The JSON object `{state, worker, bundle, kernel, control}`."""
        return _json(
            {
                "state": self.state,
                "worker": self.worker,
                "bundle": self.bundle,
                "kernel": self.kernel,
                "control": None if self.control is None else dict(self.control),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a status. Raises MessageError."""
        fields = _object(payload)
        control = fields.get("control")
        if control is not None and not isinstance(control, dict):
            raise _bad("control", control)
        return cls(
            state=cast(WorkerState, _one_of(fields, "state", _STATES)),
            worker=_name(fields, "worker"),
            bundle=_text(fields, "bundle"),
            kernel=_or_none(fields, "kernel", _text),
            control=control,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """A quantity to keep, by name."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Control:
    """A set-point for the exits: hold a `point` of the bundle's calibrated path, or keep a `budget`."""

    mode: Literal["fixed", "budget"]
    point: int | None = None
    budget: Budget | None = None

    def encode(self) -> bytes:
        """The JSON object `{mode, point, budget: {name, value}}`."""
        budget = None if self.budget is None else {"name": self.budget.name, "value": self.budget.value}
        return _json({"mode": self.mode, "point": self.point, "budget": budget})

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a control message. Raises MessageError."""
        fields = _object(payload)
        mode = _one_of(fields, "mode", frozenset(("fixed", "budget")))
        if mode == "fixed":
            return cls(mode="fixed", point=_integer(fields, "point", least=0))
        budget = _need(fields, "budget")
        if not isinstance(budget, dict):
            raise _bad("budget", budget)
        name, value = _one_of(budget, "name", _BUDGETS), _number(budget, "value")
        if value < 0:
            raise _bad("value", value)
        return cls(mode="budget", budget=Budget(name, value))


def input_topic(site: str, device: str) -> str:
    """Where a device of a site publishes by default."""
    return f"dewpoint/{site}/in/{level_of_device(device)}"


def label_topic(site: str, device: str) -> str:
    """Where a device's labels are published."""
    return f"dewpoint/{site}/label/{level_of_device(device)}"


def status_topic(site: str, worker: str) -> str:
    """Where a worker's retained status lies."""
    return f"dewpoint/{site}/status/{worker}"


def control_topic(site: str) -> str:
    """Where operators leave the retained set-point."""
    return f"dewpoint/{site}/control"


def level_of_device(device: str) -> str:
    """A device's name as one topic level: percent-encoded, so that no name can reach another level.

    Spaces and the wildcards of NATS (`*`, `>`) are encoded too: it closes the connection of who publishes to them.
    """
    return quote(device, safe=":@!$&'(),;=")


def device_of_level(level: str) -> str:
    """The device's name in a topic level, percent-decoded. Raises MessageError (bad_device)."""
    try:
        device = unquote(level, errors="strict") if "%" in level else level
    except UnicodeDecodeError as error:
        raise MessageError("bad_device", f"{level!r}: {error}") from None
    if not 0 < len(device) <= NAME_CHARS_MAX or not device.isprintable():
        raise MessageError("bad_device", repr(device[:NAME_CHARS_MAX]))
    return device


def window_id(device: str, epoch: int, first_mark: int) -> str:
    """A window's id: 32 hex digits that follow from its device, epoch and the mark of its first reading."""
    return _digest("window", device.encode(), str(epoch).encode(), str(first_mark).encode())


def sample_id(topic: str, at: float, payload: bytes) -> str:
    """The id of a foreign payload that carries its own time `at` but no id: the same bytes get the same id."""
    return _digest("sample", topic.encode(), repr(at).encode(), payload)


def parse_json(payload: bytes) -> Any:
    """JSON without NaN and infinities. Raises MessageError (not_json, not_finite)."""
    try:
        return json.loads(payload, parse_constant=_refuse_constant)
    except MessageError:
        raise
    except (ValueError, RecursionError) as error:
        raise MessageError("not_json", str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise MessageError("not_finite", name)


def _digest(purpose: str, *parts: bytes) -> str:
    digest = hashlib.sha256(purpose.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]


def _pack(fields: dict[str, Any]) -> bytes:
    return cast(bytes, msgpack.packb(fields, use_bin_type=True))


def _unpack(payload: bytes, *, any_version: bool = False) -> dict[str, Any]:
    try:
        fields = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MessageError("not_msgpack", f"{type(error).__name__}: {error}") from None
    if type(fields) is not dict:
        raise MessageError("not_msgpack", f"{type(fields).__name__} instead of a map")
    version = fields.get("v")
    if not any_version and (type(version) is not int or version != SCHEMA_VERSION):
        raise MessageError("wrong_version", f"{version!r} instead of {SCHEMA_VERSION}"[:200])
    return fields


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _object(payload: bytes) -> dict[str, Any]:
    fields = parse_json(payload)
    if not isinstance(fields, dict):
        raise MessageError("not_json", f"{type(fields).__name__} instead of an object")
    return fields


def _bad(field: str, value: object) -> MessageError:
    return MessageError("bad_field", f"{field}: {value!r}"[:200])


def _need(fields: Mapping[str, Any], field: str) -> Any:
    try:
        return fields[field]
    except KeyError:
        raise MessageError("missing_field", field) from None


def _or_none(fields: Mapping[str, Any], field: str, read: Callable[[Mapping[str, Any], str], T]) -> T | None:
    return None if _need(fields, field) is None else read(fields, field)


def _text(fields: Mapping[str, Any], field: str) -> str:
    value = _need(fields, field)
    if type(value) is not str or len(value) > NAME_CHARS_MAX:
        raise _bad(field, value)
    return value


def _name(fields: Mapping[str, Any], field: str) -> str:
    value = _need(fields, field)
    if type(value) is not str or not 0 < len(value) <= NAME_CHARS_MAX or not value.isprintable():
        raise _bad(field, value)
    return value


def _bytes(fields: Mapping[str, Any], field: str) -> bytes:
    value = _need(fields, field)
    if type(value) is not bytes:
        raise _bad(field, type(value).__name__)
    return value


def _integer(fields: Mapping[str, Any], field: str, *, least: int) -> int:
    value = _need(fields, field)
    if type(value) is not int or not least <= value < 2**31:
        raise _bad(field, value)
    return value


def _number(fields: Mapping[str, Any], field: str) -> float:
    value = _need(fields, field)
    if type(value) not in (int, float):
        raise _bad(field, value)
    try:
        number = float(value)
    except OverflowError:
        raise _bad(field, "too large") from None
    if not math.isfinite(number):
        raise MessageError("not_finite", field)
    return number


def _time(fields: Mapping[str, Any], field: str) -> float:
    seconds = _number(fields, field)
    if not 0 <= seconds < 1e11:
        raise _bad(field, seconds)
    return seconds


def _share(fields: Mapping[str, Any], field: str) -> float:
    value = _number(fields, field)
    if not 0 <= value <= 1.000001:
        raise _bad(field, value)
    return value


def _one_of(fields: Mapping[str, Any], field: str, allowed: frozenset[str]) -> str:
    value = _need(fields, field)
    if type(value) is not str or value not in allowed:
        raise _bad(field, value)
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if type(value) is not list or not 0 < len(value) <= DIMENSIONS_MAX:
        raise _bad("shape", value)
    if any(type(n) is not int or not 0 < n < 2**31 for n in value):
        raise _bad("shape", value)
    return tuple(value)


def _exits(value: Any) -> tuple[tuple[int, float], ...]:
    if type(value) is not list or len(value) > EXITS_MAX:
        raise _bad("exits", type(value).__name__)
    pairs = []
    for pair in value:
        if type(pair) is not list or len(pair) != 2:
            raise _bad("exits", pair)
        fields = {"class": pair[0], "score": pair[1]}
        pairs.append((_integer(fields, "class", least=0), _number(fields, "score")))
    return tuple(pairs)
