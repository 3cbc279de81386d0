"""Means over windows of ten seconds, of what was looked at from moment to moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.control.plant import Look

WINDOW_S = 10.0


@dataclass(frozen=True)
class Window:
    """`value`: a share or a latency in ms between two moments of the run (seconds)."""

    begin_s: float
    end_s: float
    value: float


def escalated_shares(looks: Sequence[Look], begin_s: float, end_s: float, step_s: float = WINDOW_S) -> list[Window]:
    """The share of new samples that rose, window by window."""
    found = []
    begin = begin_s
    while begin + step_s <= end_s + 1e-9:
        first, last = at(looks, begin), at(looks, begin + step_s)
        samples = last.samples - first.samples
        if samples > 0:
            share = 1.0 - (last.confident - first.confident) / samples
            found.append(Window(round(begin, 1), round(begin + step_s, 1), share))
        begin += step_s
    return found


def p99s_ms(
    finals: Sequence[tuple[float, float]], begin_s: float, end_s: float, *, every_s: float = WINDOW_S
) -> list[Window]:
    """The latency that 99 of 100 final labels of the ten seconds before did not exceed, every so often."""
    found, end = [], begin_s + WINDOW_S
    while end <= end_s + 1e-9:
        latencies = sorted(latency for at, latency in finals if end - WINDOW_S <= at < end)
        if latencies:
            worst = latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))]
            found.append(Window(round(end - WINDOW_S, 1), round(end, 1), 1000.0 * worst))
        end += every_s
    return found


def at(looks: Sequence[Look], seconds: float) -> Look:
    """The look nearest to a moment."""
    return min(looks, key=lambda one: abs(one.seconds - seconds))
