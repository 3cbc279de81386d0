"""What is left of a budget while the cloud falls behind: it shrinks before samples must be shed."""

from __future__ import annotations

from typing import Final

_BEGINS: Final = 0.5
_NOTHING_LEFT: Final = 0.9
_RECOVERS_PER_S: Final = 0.05


class Overload:
    """Falls at once with the room that is left in the queues, and recovers slowly: a queue that drains is let drain."""

    def __init__(self) -> None:
        self.value = 1.0

    def factor(self, fill: float, seconds: float) -> float:
        """By what the budget is multiplied, 0 to 1.

        Args:
            fill: How full the fullest queue is: half or less takes nothing, 0.9 takes all.
            seconds: Since the last call.
        """
        room = (_NOTHING_LEFT - fill) / (_NOTHING_LEFT - _BEGINS)
        self.value = min(max(0.0, min(1.0, room)), self.value + _RECOVERS_PER_S * seconds)
        return self.value
