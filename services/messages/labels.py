"""What anyone may read, in JSON: labels, a worker's status, and an operator's set-point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast, get_args

from services.budgets import BUDGETS
from services.messages.fields import (
    bad,
    boolean,
    decode_object,
    encode_json,
    integer,
    name,
    need,
    number,
    one_of,
    or_none,
    seconds,
    share,
    text,
)

EXIT_MAX: Final = 63
TOP_MAX: Final = 1000
_TOP: Final = ("class", "label", "probability")

LabelStatus = Literal["provisional", "final", "correction"]
LabelReason = Literal["confident", "escalated", "reused", "rate_limited", "deadline", "offline", "shed", "failed"]
WorkerState = Literal["online", "stopped", "offline"]

_STATUSES: Final = frozenset(("provisional", "final", "correction"))
_REASONS: Final = frozenset(get_args(LabelReason))
_STATES: Final = frozenset(("online", "stopped", "offline"))
_BUDGETS: Final = frozenset(BUDGETS)


@dataclass(frozen=True, slots=True)
class Label:
    """An answer for one sample, as it is published.

    `exit` is the edge exit's number or "cloud"; `corrected` says that a final differs from the provisional before it;
    `bundle` is `NAME@NETWORK_ID`; `energy_j` is the estimated computation on the path to this label. `in_domain` is the
    edge's finding, whoever gave the answer; none of a sample that an earlier version decided, which had none. `top`:
    (class index, name, probability) of the most probable classes, the first first; None where labels carry none.
    `reused_from`: where the cloud's answer to another sample of the device was taken (`reused`), that sample's id.
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
    in_domain: bool | None = None
    top: tuple[tuple[int, str, float], ...] | None = None
    reused_from: str | None = None

    @property
    def answered_by_cloud(self) -> bool:
        """Whether it is the cloud's answer to this very sample: one that was reused is not."""
        return self.exit == "cloud" and self.reason != "reused"

    def encode(self) -> bytes:
        """The JSON object; the same label always gives the same bytes."""
        reused = {} if self.reused_from is None else {"reused_from": self.reused_from}
        return encode_json(
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
                "in_domain": self.in_domain,
                **({} if self.top is None else {"top": [dict(zip(_TOP, one, strict=True)) for one in self.top]}),
                **reused,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a label. Raises MessageError."""
        fields = decode_object(payload)
        where = need(fields, "exit")
        if where != "cloud" and not (type(where) is int and 0 <= where <= EXIT_MAX):
            raise bad("exit", where)
        return cls(
            id=name(fields, "id"),
            device=name(fields, "device"),
            class_index=integer(fields, "class", least=0),
            label=text(fields, "label"),
            confidence=or_none(fields, "confidence", share),
            exit=where,
            status=cast(LabelStatus, one_of(fields, "status", _STATUSES)),
            reason=cast(LabelReason, one_of(fields, "reason", _REASONS)),
            corrected=boolean(fields, "corrected"),
            captured_at=seconds(fields, "captured_at"),
            decided_at=seconds(fields, "decided_at"),
            bundle=text(fields, "bundle"),
            energy_j=or_none(fields, "energy_j", number),
            in_domain=None if fields.get("in_domain") is None else boolean(fields, "in_domain"),
            top=_top(fields.get("top")),
            reused_from=None if fields.get("reused_from") is None else name(fields, "reused_from"),
        )


def _top(value: Any) -> tuple[tuple[int, str, float], ...] | None:
    if value is None:
        return None
    if type(value) is not list or len(value) > TOP_MAX or any(type(one) is not dict for one in value):
        raise bad("top", value)
    return tuple((integer(one, "class", least=0), text(one, "label"), share(one, "probability")) for one in value)


@dataclass(frozen=True, slots=True)
class Status:
    """What an edge worker says of itself, retained: `control` is the control it follows, or none.

    `networks`: of a worker with several networks, that of each, by the name of its bundle; `bundle`, `kernel` and
    `control` are then those of the first.
    `instance`: a random name of the process. Two of them under one worker's name do not know of each other else.
    """

    state: WorkerState
    worker: str
    bundle: str
    kernel: str | None = None
    control: Mapping[str, Any] | None = None
    instance: str | None = None
    networks: Mapping[str, Mapping[str, Any]] | None = None

    def encode(self) -> bytes:
        """The JSON object `{state, worker, bundle, kernel, control, instance}`; of several networks `networks` too."""
        several = {} if self.networks is None else {"networks": {k: dict(v) for k, v in self.networks.items()}}
        return encode_json(
            {
                "state": self.state,
                "worker": self.worker,
                "bundle": self.bundle,
                "kernel": self.kernel,
                "control": None if self.control is None else dict(self.control),
                "instance": self.instance,
                **several,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a status. Raises MessageError."""
        fields = decode_object(payload)
        control = fields.get("control")
        if control is not None and not isinstance(control, dict):
            raise bad("control", control)
        networks = fields.get("networks")
        if networks is not None and not (
            isinstance(networks, dict) and all(isinstance(each, dict) for each in networks.values())
        ):
            raise bad("networks", networks)
        return cls(
            state=cast(WorkerState, one_of(fields, "state", _STATES)),
            worker=name(fields, "worker"),
            bundle=text(fields, "bundle"),
            kernel=or_none(fields, "kernel", text),
            control=control,
            instance=or_none(fields, "instance", text),
            networks=networks,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """A quantity to keep, by its name in `services.budgets.BUDGETS`."""

    name: str
    value: float

    def __str__(self) -> str:
        """As `escalated_share=0.2`."""
        return f"{self.name}={self.value:g}"


@dataclass(frozen=True, slots=True)
class Control:
    """A set-point for the exits: hold a `point` of the bundle's calibrated path, or keep a `budget`."""

    mode: Literal["fixed", "budget"]
    point: int | None = None
    budget: Budget | None = None

    def __str__(self) -> str:
        """As `point 34` or `escalated_share=0.2`."""
        return f"point {self.point}" if self.mode == "fixed" else str(self.budget or "budget")

    def to_json(self) -> dict[str, Any]:
        """As plain data: `{mode, point, budget: {name, value}}`."""
        budget = None if self.budget is None else {"name": self.budget.name, "value": self.budget.value}
        return {"mode": self.mode, "point": self.point, "budget": budget}

    def encode(self) -> bytes:
        """The JSON object `{mode, point, budget: {name, value}}`."""
        return encode_json(self.to_json())

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a control message. Raises MessageError."""
        fields = decode_object(payload)
        mode = one_of(fields, "mode", frozenset(("fixed", "budget")))
        if mode == "fixed":
            return cls(mode="fixed", point=integer(fields, "point", least=0))
        budget = need(fields, "budget")
        if not isinstance(budget, dict):
            raise bad("budget", budget)
        name, value = one_of(budget, "name", _BUDGETS), number(budget, "value")
        if value < 0:
            raise bad("value", value)
        return cls(mode="budget", budget=Budget(name, value))
