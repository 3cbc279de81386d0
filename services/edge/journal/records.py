"""What goes into the journal and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.edge.channels import ChannelState
from services.edge.window import WindowState

__all__ = ["Batch", "Key", "Known", "Network", "NewRow", "Rejection", "State", "Unpublished", "WaitingRow"]

#: (device, id): what a sample is called everywhere.
Key = tuple[str, str]
State = Literal["waiting", "final", "done"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal says of a key."""

    state: State
    payload_hash: bytes
    label: bytes


@dataclass(slots=True)
class NewRow:
    """A decision for a key that is not there yet: with an escalation it will be `waiting`, else `final`.

    `received_at`: epoch seconds; `arrived_s`: the same moment, monotonic, where it is known. `confidence`: the edge's
    own, of a hard sample, 0 of one that is out of domain; the surest are finalised first where there is no room.
    """

    key: Key
    payload_hash: bytes
    label: bytes
    escalation: bytes | None
    network: str
    partitions: int
    deadline_s: float | None
    received_at: float
    confidence: float | None = None
    arrived_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that can never become a sample; `hash` is of topic and payload."""

    hash: bytes
    device: str
    topic: str
    reason: str
    detail: str
    at: float


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A final label that the broker has not acknowledged."""

    n: int
    key: Key
    label: bytes


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A hard sample that awaits the cloud; `label` is the edge's own.

    `received_at`: epoch seconds; `arrived_s`: the same moment, monotonic, None where an earlier process received it.
    """

    n: int
    key: Key
    label: bytes
    escalation: bytes
    network: str
    partitions: int
    deadline_s: float | None
    received_at: float
    arrived_s: float | None


@dataclass(frozen=True, slots=True)
class Network:
    """What it takes to read a reply of a network, also after the bundle was replaced."""

    network: str
    bundle: str
    classes: tuple[str, ...]
    cloud_path_energy_j: float | None


@dataclass(slots=True)
class Batch:
    """All that one micro-batch changes, in one transaction."""

    rows: list[NewRow] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    windows: dict[str, WindowState] = field(default_factory=dict)
    channels: dict[str, ChannelState] = field(default_factory=dict)
    marks: list[tuple[str, int, bytes]] = field(default_factory=list)
    done: Sequence[Key] = ()
