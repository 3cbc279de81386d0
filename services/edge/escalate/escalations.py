"""The way up and back as a whole: what is offered rises, and what is answered becomes final."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.edge.escalate.maker import EscalationMaker
from services.edge.escalate.replies import ReplyReader
from services.edge.escalate.sender import Sender
from services.edge.escalate.streams import Streams
from services.edge.journal.records import Key
from services.messages import Escalation

__all__ = ["Escalations"]


class Escalations:
    """One worker's escalations. `start`, then `stop`; each once. Safe from any thread.

    Args:
        streams: The feature streams; closed at the end.
        sender: Sends hard samples up.
        replies: Reads what comes back.
        maker: Makes escalations.

    Attributes:
        make: `EscalationMaker.make` of this worker's network.
    """

    def __init__(self, *, streams: Streams, sender: Sender, replies: ReplyReader, maker: EscalationMaker) -> None:
        self.streams, self.make = streams, maker.make
        self._sender, self._replies = sender, replies

    @property
    def reachable(self) -> bool:
        """Whether Redis took the last call."""
        return self._sender.reachable

    @property
    def fill(self) -> float:
        """How near the feature stream is to its limits, as last seen: 1 where fresh samples are shed."""
        return self._sender.fill

    def start(self) -> None:
        """Begin to read and to send; rows of earlier runs are looked up."""
        self._replies.start()
        self._sender.start()

    def stop(self, *, timeout_s: float) -> None:
        """Send what is in hand within `timeout_s` seconds, then end; the rest waits in the journal."""
        self._sender.stop(timeout_s=timeout_s)
        self._replies.stop()

    def close(self) -> None:
        """Close the connections."""
        self.streams.close()

    def expect(self, keys: Iterable[Key]) -> None:
        """These rows are about to be committed as waiting and offered: nobody needs to look for them."""
        self._sender.expect(keys)

    def offer(self, escalations: Sequence[Escalation]) -> None:
        """Send these soon; their rows are committed."""
        self._sender.offer(escalations)

    def forgo(self, keys: Iterable[Key]) -> None:
        """These rows are final already: what was expected or offered of them is not sent."""
        self._sender.forgo(keys)

    def look_again(self) -> None:
        """Look up every waiting row now, instead of at the next turn."""
        self._sender.look_again()
