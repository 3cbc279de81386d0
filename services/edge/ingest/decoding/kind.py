"""What a payload kind is: it turns the bytes of a message into a sample, or into readings of one."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError
from services.edge.window import Readings
from services.settings import InputSettings, LimitSettings

__all__ = ["DTYPES", "Decoded", "PayloadKind", "ReadingKind", "SampleKind"]

#: Settings that a kind has to name among those it takes: set for another, they would be without effect.
_OF_SOME_KINDS: Final = frozenset(
    ("encoding", "roi", "background", "range", "truncated", "channels", "layout", "scale", "fields", "join")
)

DTYPES: Final[dict[str, np.dtype[Any]]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}


@dataclass(slots=True, eq=False)
class Decoded:
    """One whole sample: `array` (H, W, C) of the bundle's type; `captured_at` epoch seconds.

    With a `traceparent` of its own, `content` is its message without that: the same sample sent again has another.
    """

    id: str
    captured_at: float
    array: npt.NDArray[Any]
    traceparent: str | None = None
    content: bytes | None = None


class PayloadKind(abc.ABC):
    """Decodes the payloads of one input for one bundle. Subclass `SampleKind` or `ReadingKind`.

    Args:
        expected: What the bundle takes.
        settings: The input's.
        limits: What no message may exceed.

    Raises:
        EdgeError: where the input cannot feed this bundle.
    """

    #: What `kind` of an input is in the settings.
    name: ClassVar[str]
    #: Settings of some kinds alone that this one heeds.
    takes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, expected: Input, settings: InputSettings, limits: LimitSettings) -> None:
        self.expected, self.settings, self.limits = expected, settings, limits
        self.shape = tuple(expected.shape)
        self.dtype = DTYPES[expected.dtype]
        for setting in sorted((settings.model_fields_set & _OF_SOME_KINDS) - self.takes):
            if getattr(settings, setting) is not None:
                raise self.refuse(f"`{setting}` means nothing for kind {self.name!r}; take it out")
        self.check()

    def check(self) -> None:
        """Raise EdgeError where the input cannot feed the bundle."""

    def refuse(self, what: str) -> EdgeError:
        """The error of an input that does not fit: `what`, after the input's topic."""
        return EdgeError(f"input {self.settings.topic}: {what}")

    @property
    def wanted(self) -> str:
        """What the bundle takes, for messages: type and shape."""
        return f"{self.expected.dtype} {self.shape}"


class SampleKind(PayloadKind):
    """A kind of which each message is a whole sample."""

    @abc.abstractmethod
    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The sample of a message that came at `received_at` (epoch seconds). Raises MessageError."""


class ReadingKind(PayloadKind):
    """A kind whose messages are readings: rows (n, C) that are joined into windows."""

    def check(self) -> None:
        """Readings make up rows of float32: the bundle must take (1, W, C)."""
        if self.shape[0] != 1 or self.expected.dtype != "float32":
            raise self.refuse(f"the bundle takes {self.wanted}, which readings cannot make up")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What each channel is called, for messages."""
        return self.expected.channels or tuple(map(str, range(self.shape[2])))

    @abc.abstractmethod
    def readings(self, payload: bytes) -> Readings:
        """The readings of a message. Raises MessageError."""
