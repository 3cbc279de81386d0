"""Dead letters: the escalations that no worker could answer, for an operator to look at, send again or remove."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from services.feature_stream import scripts
from services.feature_stream.entries import Replayed
from services.feature_stream.keys import Stream
from services.feature_stream.link import RedisLink
from services.feature_stream.streams import streams_in_use
from services.messages import Escalation, EscalationHead, MessageError, decode_head
from services.messages.fields import unpack
from services.settings import RedisSettings

__all__ = ["FINAL_BEFORE", "DeadLetter", "DeadLetters", "LetterId", "Replayed"]

#: What an operator must know who sends letters again.
FINAL_BEFORE: Final = (
    "The edge has published a final label for each (`failed`) already. An answer that comes now is counted there,"
    " and published as `correction` only where edge.correction is set."
)

#: Letters read in one round trip: each may hold a sample's features.
_PAGE: Final = 256
_LETTER_ID: Final = re.compile(r"([0-9a-f]{12})\.([0-9]{1,4})/([0-9]{1,20}-[0-9]{1,20})")


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Where a dead letter lies. As text: ``NETWORK.PARTITION/ENTRY``, as in ``d61f5070b921.0/1795245811402-0``."""

    stream: Stream
    entry_id: str

    def __str__(self) -> str:
        return f"{self.stream.name}/{self.entry_id}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """The inverse of `str`. Raises ValueError."""
        form = _LETTER_ID.fullmatch(text)
        if form is None:
            raise ValueError(
                f"{text!r} is not the id of a dead letter: NETWORK.PARTITION/ENTRY, as `dewpoint dead list` shows it"
            )
        network_id, partition, entry_id = form.groups()
        return cls(Stream(network_id, int(partition)), entry_id)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, decoded as far as it can be.

    Attributes:
        letter_id: Where it lies.
        escalation: What was sent; only its head where the rest cannot be read, None where nothing can.
        error: Why it was given up.
        worker: The consumer that gave it up.
        at: When, epoch seconds.
        history: A line for each lone run: Redis time, consumer, error where one was noted.
        payload_bytes: Size of the escalation as it lies there.
        letter_bytes: Size of the letter.
    """

    letter_id: LetterId
    escalation: Escalation | EscalationHead | None
    error: str
    worker: str
    at: float | None
    history: tuple[str, ...]
    payload_bytes: int
    letter_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As plain data, without its features."""
        head = self.escalation
        features = getattr(head, "features", None)
        return {
            "id": str(self.letter_id),
            "network": self.letter_id.stream.network_id,
            "site": getattr(head, "site", None),
            "edge": getattr(head, "worker", None),
            "device": getattr(head, "device", None),
            "sample": getattr(head, "id", None),
            "attempt": getattr(head, "attempt", None),
            "captured_at": getattr(head, "captured_at", None),
            "exits": [list(left) for left in getattr(head, "exits", ())],
            "error": self.error,
            "worker": self.worker,
            "at": self.at,
            "history": list(self.history),
            "letter_bytes": self.letter_bytes,
            "payload_bytes": self.payload_bytes,
            "feature_bytes": None if features is None else len(features),
        }


class DeadLetters:
    """The dead letters of all networks that are in use.

    Every method but `close` raises StreamUnavailableError where Redis cannot be reached or refuses.

    Args:
        settings: How to reach Redis.
        network_id: Look at this network's alone.
    """

    def __init__(self, settings: RedisSettings, *, network_id: str | None = None) -> None:
        self._link = RedisLink(settings)
        self._network_id = network_id

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def letters(self) -> Iterator[DeadLetter]:
        """All of them, stream by stream, the oldest first."""
        for letter_id, message in self._entries():
            yield _decoded(letter_id, message)

    def ids(self) -> Iterator[LetterId]:
        """Their ids."""
        for letter_id, _ in self._entries():
            yield letter_id

    def get(self, letter_id: LetterId) -> DeadLetter | None:
        """One of them; None where there is no such letter."""
        message = self._message(letter_id)
        return _decoded(letter_id, message) if message is not None else None

    def replay(self, letter_id: LetterId) -> Replayed:
        """Make it an entry of the stream again, as the sample's next attempt, and remove the letter, in one step."""
        message = self._message(letter_id)
        if message is None:
            return Replayed.MISSING
        escalation = _decoded(letter_id, message).escalation
        if not isinstance(escalation, Escalation):
            return Replayed.UNREADABLE
        again = replace(escalation, attempt=escalation.attempt + 1)
        return self._link.script(scripts.replay(letter_id.stream, letter_id.entry_id, again))

    def drop(self, letter_id: LetterId) -> bool:
        """Remove it. False where there is no such letter."""
        return self._link.script(scripts.drop(letter_id.stream, letter_id.entry_id))

    def _entries(self) -> Iterator[tuple[LetterId, bytes]]:
        for stream in sorted(streams_in_use(self._link)):
            if self._network_id not in (None, stream.network_id):
                continue
            start = "-"
            while page := self._link.call("XRANGE", stream.dead, start, "+", "COUNT", _PAGE):
                for entry_id, fields in page:
                    yield LetterId(stream, entry_id.decode()), fields.get(b"m", b"")
                start = f"({page[-1][0].decode()}"

    def _message(self, letter_id: LetterId) -> bytes | None:
        entries = self._link.call("XRANGE", letter_id.stream.dead, letter_id.entry_id, letter_id.entry_id)
        return entries[0][1].get(b"m", b"") if entries else None


def _decoded(letter_id: LetterId, message: bytes) -> DeadLetter:
    try:
        fields = unpack(message)
    except MessageError as error:
        reason, size = f"the letter itself is damaged: {error}", len(message)
        return DeadLetter(letter_id, None, reason, "", None, (), size, size)
    payload = fields.get("payload")
    payload = payload if isinstance(payload, bytes) else b""
    at, history = fields.get("at"), fields.get("history")
    return DeadLetter(
        letter_id=letter_id,
        escalation=_escalation(payload),
        error=str(fields.get("error", "")),
        worker=str(fields.get("worker", "")),
        at=float(at) if isinstance(at, int | float) else None,
        history=tuple(str(line) for line in history) if isinstance(history, list) else (),
        payload_bytes=len(payload),
        letter_bytes=len(message),
    )


def _escalation(payload: bytes) -> Escalation | EscalationHead | None:
    decoders: tuple[Any, ...] = (Escalation.decode, decode_head)
    for decode in decoders:
        try:
            decoded: Escalation | EscalationHead = decode(payload)
        except MessageError:
            continue
        return decoded
    return None
