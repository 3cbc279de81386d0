"""Whether another client uses our client id.

A broker gives a session to whoever asks for it last and hangs up on the other. Two that both come back take it from
each other for ever, and each sees connections that end, no more. What tells the two apart from a network that fails:

- MQTT 5 says it: DISCONNECT with the reason 0x8E, "session taken over". Our own earlier connection hears it as well
  where we come back before the broker has noticed its loss, but then nobody reads there any more.
- Whoever uses the link may see what another has written in our name, and report it.
- Connections that end soon after they opened, several in a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Rivals"]

#: A connection that lasts this long, seconds, was no failure to connect; an ordinary restart of a broker is one of
#: these, not several in a row.
_SOON_S: Final = 5.0
#: Signs add up to this where another client is taken for certain.
_ENOUGH: Final = 4
#: What was written in our name proves another client, unless the broker came back with an older state or told late of
#: the end of the process before us; either happens once.
_WRITTEN: Final = 3
_LOST_SOON: Final = 1


class Rivals:
    """Adds up the signs. Called in the link's thread; the properties may be read by any.

    Args:
        quiet_s: After so many seconds without a sign, nobody else is there any more.
        clock: Monotonic, seconds.
    """

    def __init__(self, *, quiet_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s, self._clock = max(quiet_s, _SOON_S), clock
        self._opened_at = 0.0
        self._weight = 0
        self._soon_in_a_row = 0
        self._sign_at: float | None = None
        self._last_loss_counted = False
        self._taken_over = 0

    @property
    def taken_over(self) -> int:
        """Connections that another client took from us."""
        return self._taken_over

    @property
    def contested(self) -> bool:
        """Whether another client uses our client id, as far as can be told."""
        sign_at = self._sign_at
        if sign_at is None or self._clock() - sign_at > self._quiet_s:
            return False
        return self._weight + self._soon_in_a_row >= _ENOUGH

    def opened(self) -> None:
        """A connection was opened."""
        self._opened_at = self._clock()

    def lost(self, *, taken_over: bool) -> bool:
        """The connection was lost, `taken_over`: as the broker says, by another client. True if it lasted long."""
        contested = self.contested
        lasted = self._clock() - self._opened_at >= (self._quiet_s if contested else _SOON_S)
        self._last_loss_counted = False
        if taken_over:
            self._note(_ENOUGH)
        elif lasted:
            self._soon_in_a_row = 0
        else:
            self._note(0)
            self._soon_in_a_row += _LOST_SOON
        if taken_over or (not lasted and self.contested):
            self._count()
        return lasted

    def seen(self, *, now: bool) -> None:
        """Another client has written in our name; `now`: it was there just now, not at some time before."""
        self._note(_ENOUGH if now else _WRITTEN)
        self._count()

    def _note(self, weight: int) -> None:
        now = self._clock()
        if self._sign_at is not None and now - self._sign_at > self._quiet_s:
            self._weight = self._soon_in_a_row = 0
        self._sign_at = now
        self._weight += weight

    def _count(self) -> None:
        if not self._last_loss_counted:
            self._last_loss_counted = True
            self._taken_over += 1
