"""What kind of machine a run was trained on."""

from __future__ import annotations

import os
import platform

import torch


def machine_kind(device: torch.device) -> str:
    """`NVIDIA H200`, or `x86_64 CPU, 2 cores, AVX512`: the kind, never a name or an address."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (
        f"{platform.machine()} CPU, {cores} core{'s' if cores > 1 else ''}, {torch.backends.cpu.get_cpu_capability()}"
    )
