"""Entries of the stream: in a cloud worker's hands, with its answer, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.feature_stream.keys import Stream
from services.messages import Reply

__all__ = ["Answer", "Burial", "Delivery", "EntryState", "Missed", "Replayed", "one_line"]

#: Characters of an error that is sent to others: enough for a reason, little beside the features.
_ERROR_CHARACTERS_MAX: Final = 300


class EntryState(Enum):
    """What became of a sample's escalation."""

    GONE = 0
    """It is not in the stream: answered, lost, or never sent."""
    STANDS = 1
    """It is in the stream, unanswered."""
    UNREAD = 2
    """It is a dead letter, and no cloud worker could read whom to tell."""


class Replayed(Enum):
    """What became of a dead letter that was to be sent again."""

    SENT = 1
    """It is an entry of the stream again."""
    STANDS = 0
    """An entry of its sample is in the stream already; the letter stays."""
    MISSING = -1
    """There is no such letter."""
    UNREADABLE = -2
    """What it holds is not an escalation; the letter stays."""

    @property
    def reason(self) -> str:
        """Why it was not sent; empty where it was."""
        return _NOT_SENT.get(self, "")


_NOT_SENT: Final = {
    Replayed.STANDS: "its sample waits in the stream already",
    Replayed.MISSING: "there is no such letter",
    Replayed.UNREADABLE: "it holds no escalation that could be sent; look at it, then drop it",
}


class Missed(Enum):
    """Why nothing was done with an entry."""

    TAKEN = -1
    """Another worker has the lease."""
    GONE = -2
    """It is not there any more: answered, or Redis lost it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry leased to this worker.

    Attributes:
        stream: Network and partition that it came from.
        entry_id: Redis' id of it.
        payload: The escalation as it lies there; None where the entry has another form.
        history: One line for each lone run that was begun: Redis time, consumer, error where one was noted.
        exhausted: Its lone runs are used up: it belongs to the dead letters.
    """

    stream: Stream
    entry_id: str
    payload: bytes | None
    history: tuple[str, ...] = ()
    exhausted: bool = False

    @property
    def redelivered(self) -> bool:
        """Whether it is to run alone, because a worker had it before."""
        return bool(self.history)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to a delivery, and the edge worker that it goes to."""

    delivery: Delivery
    site: str
    worker: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Burial:
    """What became of an entry that was to become a dead letter.

    Attributes:
        missed: Why it did not; None where it did.
        forgotten: How many of the oldest dead letters were removed for it.
    """

    missed: Missed | None
    forgotten: int = 0


def one_line(error: str) -> str:
    """An error as it is told to others: bounded, on one line, and such that it can be encoded."""
    return " ".join(error.encode(errors="replace").decode().split())[:_ERROR_CHARACTERS_MAX]
