"""What processes hold: memory, file descriptors, threads. And how fast it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

QUANTITIES = ("rss_mb", "fds", "threads")


@dataclass(frozen=True)
class Reading:
    """One look at a process; `seconds` since the soak began, `rss_mb` in MiB."""

    seconds: float
    rss_mb: float
    fds: int
    threads: int


def read(pid: int, *, seconds: float) -> Reading:
    """Look at a process of this machine (Linux). Raises OSError where it is gone."""
    folder = Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
    return Reading(
        seconds=round(seconds, 1),
        rss_mb=round(int(fields["VmRSS"].split()[0]) / 1024, 3),
        fds=len(os.listdir(folder / "fd")),  # noqa: PTH208 - names alone
        threads=int(fields["Threads"]),
    )


def slopes_per_hour(readings: Sequence[Reading]) -> dict[str, float]:
    """Growth of each quantity in an hour, by least squares."""
    seconds = np.array([one.seconds for one in readings])
    return {
        name: round(float(np.polyfit(seconds / 3600, [getattr(one, name) for one in readings], 1)[0]), 3)
        for name in QUANTITIES
    }
