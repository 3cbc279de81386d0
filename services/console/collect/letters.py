"""The dead letters, as the page lists and replays them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from hybrid_model.errors import DewpointError
from services.feature_stream import StreamUnavailableError
from services.feature_stream.dead import FINAL_BEFORE, DeadLetters, LetterId
from services.settings import RedisSettings

__all__ = ["FINAL_BEFORE", "LetterList", "Letters", "LettersError"]

SHOWN_MAX: Final = 200


class LettersError(DewpointError):
    """Redis cannot be reached, or refuses; the message says why."""


@dataclass(frozen=True, slots=True)
class LetterList:
    """The oldest dead letters, as plain fields; `more` says that there are others."""

    letters: tuple[dict[str, Any], ...]
    more: bool


class Letters:
    """Looks at the dead letters, and sends them again. Calls wait for Redis: keep them out of the page's own thread.

    Every method but `close` raises LettersError.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._dead = DeadLetters(settings)

    def close(self) -> None:
        """Close the connections."""
        self._dead.close()

    def listed(self) -> LetterList:
        """The oldest 200."""
        try:
            found = [letter.to_json() for letter in islice(self._dead.letters(), SHOWN_MAX + 1)]
        except StreamUnavailableError as error:
            raise LettersError(str(error)) from None
        return LetterList(tuple(found[:SHOWN_MAX]), len(found) > SHOWN_MAX)

    def replay(self, letter: str) -> str | None:
        """Send one again. Returns why not; None where it was sent."""
        try:
            outcome = self._dead.replay(LetterId.parse(letter))
        except ValueError as error:
            return str(error)
        except StreamUnavailableError as error:
            raise LettersError(str(error)) from None
        return outcome.reason or None
