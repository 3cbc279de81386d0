"""How long the edge takes for one sample, beside a reference network that runs in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle
from hybrid_model.runtime import EdgeEngine

ROUNDS = 100
_WARM_UP = 5
_BEYOND = 1e9


@dataclass(frozen=True)
class Latency:
    """Medians over single samples on one thread, by where the sample's path ends on the edge.

    `to_exit_us` (one per exit) and `to_cut_us`: microseconds, which depend on the machine and on what else runs there.
    The `ratio`s are medians of the same over the reference's time to its cut in the same round, which depend on that
    much less. Every exit on the way is computed, even one that is switched off.
    """

    kernel: str
    to_exit_us: tuple[float, ...]
    to_cut_us: float
    to_exit_ratio: tuple[float, ...]
    to_cut_ratio: float
    reference_us: float

    def mean_us(self, exit_share: Sequence[float]) -> float:
        """Mean microseconds per sample where `exit_share[e]` leave at exit e and the rest rises."""
        return _mean(self.to_exit_us, self.to_cut_us, exit_share)

    def mean_ratio(self, exit_share: Sequence[float]) -> float:
        """The same in units of the reference's time to its cut."""
        return _mean(self.to_exit_ratio, self.to_cut_ratio, exit_share)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def measure_latency(
    bundle: Bundle, reference_bundle: Bundle, samples: npt.NDArray[Any], *, rounds: int = ROUNDS
) -> Latency:
    """Times the edge halves of both bundles in turns on samples (N, H, W, C), one at a time."""
    engine, reference = EdgeEngine(bundle), EdgeEngine(reference_bundle)
    described = bundle.manifest.exits
    exits = len(described)
    # Thresholds beyond all scores: every sample leaves at one exit, or nowhere.
    always = [_BEYOND if rule.score == "entropy" else -_BEYOND for rule in described]
    ends = [[a if number == end else -a for number, a in enumerate(always)] for end in range(exits + 1)]
    seconds = np.empty((rounds + _WARM_UP, len(ends) + 1))
    for row in range(len(seconds)):
        x = samples[row % len(samples)][None]
        start = time.perf_counter()
        reference.infer(x, force_cut=True)
        seconds[row, -1] = time.perf_counter() - start
        for column, thresholds in enumerate(ends):
            start = time.perf_counter()
            engine.infer(x, thresholds=thresholds)
            seconds[row, column] = time.perf_counter() - start
    seconds = seconds[_WARM_UP:]
    us = np.median(seconds, axis=0) * 1e6
    ratio = np.median(seconds[:, :-1] / seconds[:, -1:], axis=0)
    return Latency(
        kernel=engine.kernel,
        to_exit_us=tuple(us[:exits].tolist()),
        to_cut_us=float(us[exits]),
        to_exit_ratio=tuple(ratio[:exits].tolist()),
        to_cut_ratio=float(ratio[exits]),
        reference_us=float(us[-1]),
    )


def _mean(to_exit: Sequence[float], to_cut: float, exit_share: Sequence[float]) -> float:
    return sum(s * t for s, t in zip(exit_share, to_exit, strict=True)) + (1.0 - sum(exit_share)) * to_cut
