"""Which arithmetic trains faster here: a short trial decides, since CPUs differ by more than tenfold."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

#: Steps of each, and seconds after which no further one begins.
TRIAL_STEPS = 10
TRIAL_S = 10.0


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bf16 autocast for `precision` "bf16", nothing for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def choose_precision(step: Callable[[str], None], device: torch.device) -> str:
    """Runs `step(precision)` a few times in fp32 and in bf16 and returns the name of that whose fastest step is faster.

    The first step of each is not timed. On a CUDA device bf16 is taken without a trial.
    """
    if device.type == "cuda":
        return "bf16"
    seconds: dict[str, float] = {}
    for precision in ("fp32", "bf16"):
        step(precision)
        seconds[precision] = math.inf
        first = time.perf_counter()
        for _ in range(TRIAL_STEPS - 1):
            start = time.perf_counter()
            step(precision)
            now = time.perf_counter()
            seconds[precision] = min(seconds[precision], now - start)
            if now - first > TRIAL_S or (precision == "bf16" and now - start > 2 * seconds["fp32"]):
                break
    return min(seconds, key=lambda name: seconds[name])
