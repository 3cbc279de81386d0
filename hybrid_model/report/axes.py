"""The frame of a chart in SVG: a range of values, round ticks on it, and where values lie in the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Final

__all__ = ["Axis", "Frame", "round_ticks"]

#: Of the whole drawing, in its own units: it is scaled to the width that the page has.
WIDTH: Final = 420
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44
_TICKS: Final = 5


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, with what is written below or beside them."""

    low: float
    high: float
    label: str

    @classmethod
    def around(
        cls, values: Sequence[float], label: str, *, least: float | None = None, most: float | None = None
    ) -> Axis:
        """An axis that holds all finite values with some room, within `least` and `most`."""
        finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
        low, high = low - room, high + room
        return cls(low if least is None else max(low, least), high if most is None else min(high, most), label)


@dataclass(frozen=True)
class Frame:
    """Two axes, and from their values to the drawing's units."""

    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        across = (x - self.x.low) / ((self.x.high - self.x.low) or 1.0)
        up = (y - self.y.low) / ((self.y.high - self.y.low) or 1.0)
        return (
            round(_LEFT + across * (WIDTH - _LEFT - _RIGHT), 1),
            round(HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM), 1),
        )

    def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """The points of a line, as SVG wants them."""
        return " ".join("{},{}".format(*self.at(x, y)) for x, y in zip(xs, ys, strict=True))


def round_ticks(low: float, high: float, most: int = _TICKS) -> list[float]:
    """At most about `most` round numbers from `low` to `high`, evenly apart: 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if not isfinite(span) or span <= 0:
        return [low]
    step = 10.0 ** floor(log10(span / most))
    step = next(factor * step for factor in (1, 2, 2.5, 5, 10, 20) if span / (factor * step) <= most)
    first = ceil(low / step - 1e-9)
    return [number * step for number in range(first, floor(high / step + 1e-9) + 1)]
