"""Which precision, and how many threads, a cloud half is fastest with here: tried for a fraction of a second at load.

What is tried are samples made up: they take as long as real ones. On a CPU one thread tries, which other work on the
machine disturbs least. Whether the classes agree was measured before, on the calibration split
(`hybrid_model.calibration.bf16`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from hybrid_model.nn.folded import Precision

Forward = Callable[[Tensor], Tensor]
#: A batch of which one thread makes less than this, in seconds, is not divided: handing parts over costs as much.
_ONE_THREAD_S: Final = 1e-3
#: How long precisions are compared, seconds, and how often at least and at most.
_COMPARE_S: Final = 0.3
_ROUNDS: Final = 3, 20
#: bfloat16 has to be faster by this much, since close calls are made twice.
_GAIN_MIN: Final = 1.1
#: torch's own choice: by the processors this process may use, and OMP_NUM_THREADS. Read before anybody sets another.
_DEFAULT_THREADS: Final = torch.get_num_threads()
_CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Trial:
    """What was chosen. `threads`: None if not on a CPU.

    `seconds`: of `batch` samples by precision, the shortest time of some, on a CPU by one thread.
    """

    precision: Precision
    threads: int | None
    batch: int
    seconds: Mapping[Precision, float]


def speed_trial(forwards: Mapping[Precision, Forward], crossed: Tensor, threads: int | None) -> Trial:
    """The fastest of `forwards` on a batch `crossed` (N, c, h, w) float32; what is not much faster than "fp32" loses.

    `threads`: so many; None: one where the batch is small, else all that this process may use. Sets torch's threads.
    """
    on_cpu = crossed.device.type == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    seconds = _shortest(forwards, crossed)
    chosen = min(seconds, key=lambda precision: seconds[precision] * (_GAIN_MIN if precision == "bf16" else 1.0))
    if not on_cpu:
        return Trial(chosen, None, len(crossed), seconds)
    threads = threads or (1 if seconds[chosen] < _ONE_THREAD_S else usable_threads())
    torch.set_num_threads(threads)
    return Trial(chosen, threads, len(crossed), seconds)


def _shortest(forwards: Mapping[Precision, Forward], crossed: Tensor) -> dict[Precision, float]:
    """The shortest time of each, tried in turn: what else runs on the machine only makes them longer."""
    seconds = dict.fromkeys(forwards, math.inf)
    end = time.perf_counter() + _COMPARE_S
    least, most = _ROUNDS
    for number in range(most):
        if number >= least and time.perf_counter() > end:
            break
        for precision, forward in forwards.items():
            _wait(crossed)
            began = time.perf_counter()
            forward(crossed)
            _wait(crossed)
            seconds[precision] = min(seconds[precision], time.perf_counter() - began)
    return seconds


def _wait(x: Tensor) -> None:
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)


def usable_threads() -> int:
    """As many as torch takes by itself, and no more than a container's share of processors pays for."""
    try:
        quota, period = _CPU_QUOTA.read_text().split()
    except (OSError, ValueError):
        return _DEFAULT_THREADS
    return _DEFAULT_THREADS if quota == "max" else max(1, min(_DEFAULT_THREADS, math.ceil(int(quota) / int(period))))
