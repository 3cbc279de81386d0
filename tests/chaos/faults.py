"""What goes wrong: kinds of faults, and when each strikes. The same seed gives the same sequence."""

from __future__ import annotations

import random
from collections.abc import Iterable

TICK_S = 0.25

#: Of a hundred faults, how many are of this kind.
WEIGHTS = {
    "edge_killed": 18,
    "cloud_killed": 12,
    "redis_restarted": 5,
    "redis_killed": 5,
    "redis_wiped": 8,
    "redis_wiped_and_clouds_killed": 2,
    "mosquitto_restarted": 6,
    "link_cut": 16,
    "link_delayed": 12,
    "poison": 16,
}


class Faults:
    """Draws, tick by tick, which faults strike: each kind by itself, with a fixed probability.

    Args:
        seed: Of the sequence.
        rate_hz: Faults per second, all kinds together.
        kinds: These alone, in their proportions; all if none are given.
    """

    def __init__(self, seed: int, *, rate_hz: float, kinds: Iterable[str] = ()) -> None:
        chosen = {kind: WEIGHTS[kind] for kind in (tuple(kinds) or WEIGHTS)}
        per_tick = rate_hz * TICK_S / sum(chosen.values())
        self.probabilities = {kind: weight * per_tick for kind, weight in chosen.items()}
        self._rng = random.Random(f"{seed} faults")

    def draw(self) -> list[str]:
        """The faults of the next tick; mostly none."""
        drawn = [(kind, self._rng.random()) for kind in self.probabilities]
        return [kind for kind, number in drawn if number < self.probabilities[kind]]
