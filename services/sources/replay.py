"""A data set replayed by several devices: who sends which sample in which bytes, and what its true class is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from services.sources.degrade import Degradation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Device:
    """A device by its name, and what is wrong with it, if anything."""

    name: str
    degradation: Degradation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One sample that was sent: its key (device, id), and when it was whole (epoch seconds)."""

    device: str
    id: str
    captured_at: float

    @property
    def key(self) -> tuple[str, str]:
        """(device, id): what the sample is called everywhere."""
        return self.device, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Captured):
    """A sample of a data set: also its place in the stream, and its true class."""

    number: int
    class_index: int


S_co = TypeVar("S_co", bound=Captured, covariant=True)


@dataclass(frozen=True, slots=True)
class Outgoing(Generic[S_co]):
    """One message. `completes`: the samples that are whole with it; `share`: how many samples it is worth (pacing)."""

    device: str
    payload: bytes
    completes: tuple[S_co, ...]
    share: float


class Replay(Protocol):
    """A finite stream of messages, made one by one as they are asked for, so that each carries the time it was made.

    Iterating again sends the same samples under the same ids.
    """

    frames: int
    run: str

    def __iter__(self) -> Iterator[Outgoing[Replayed]]: ...

    def inputs(self, numbers: Sequence[int]) -> Array:
        """What an edge decodes for the samples of these places in the stream: (N, H, W, C)."""
        ...


def new_run() -> str:
    """A short name for one replay; it makes the ids of two replays differ."""
    return uuid.uuid4().hex[:8]


def name_devices(kind: str, count: int, degraded: Sequence[str] = ()) -> list[Device]:
    """Devices `kind-1`, `kind-2`, ...; each of `degraded` is "KIND[:STRENGTH]" (then the last one) or "NAME=KIND...".

    Raises SourceError for a device that is not there, or for a degradation that is none.
    """
    from services.sources.errors import SourceError

    devices = {f"{kind}-{i + 1}": Device(f"{kind}-{i + 1}") for i in range(count)}
    for text in degraded:
        name, equals, how = text.partition("=")
        if not equals:
            name, how = f"{kind}-{count}", text
        if name not in devices:
            raise SourceError(f"no device {name!r} to degrade; there are {', '.join(devices)}")
        devices[name] = Device(name, Degradation.parse(how))
    return list(devices.values())
