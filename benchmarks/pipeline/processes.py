"""What processes cost, from /proc: processor time and memory of a process and all that descend from it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of processor time, user and system, that processes have used."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_HZ


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory; pages that processes share count for each."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES


def families(roles: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """Of each role, all its processes."""
    return {role: [each for pid in pids for each in family(pid)] for role, pids in roles.items()}
