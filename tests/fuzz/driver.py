"""Runs every target in turn, each in child processes, and adds up what they found."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.targets import TARGETS, Target

_HANG_STATUS = 70  # libFuzzer's, for an input that takes too long
_RESTARTS_MAX = 10
_WARM_UP_SHARE = 0.5  # until the arenas of the picture decoders have found their size


def run(
    inputs: int, *, names: Sequence[str] = (), seed: int = 1, tell: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Give `inputs` to the targets, divided by their shares; those of `names` alone if there are any.

    The figures: `inputs`, `errors` (undocumented ones, by place), `crashes` and `hangs` of child processes (numbers),
    `rss_kb_per_10000_inputs` (the worst target's, after warm-up), `seconds`, and the same by target.
    """
    begun = time.monotonic()
    chosen = [target for target in TARGETS if not names or target.name in names]
    whole = sum(target.share for target in chosen)
    found: dict[str, dict[str, Any]] = {}
    for target in chosen:
        found[target.name] = _fuzz(target, int(inputs * target.share / whole) + 1, seed)
        tell(f"{target.name}: {_line(found[target.name])}")
    slopes = [one["rss_kb_per_10000_inputs"] for one in found.values() if one["rss_kb_per_10000_inputs"] is not None]
    return {
        "inputs": sum(one["inputs"] for one in found.values()),
        "crashes": sum(one["crashes"] for one in found.values()),
        "hangs": sum(one["hangs"] for one in found.values()),
        "errors": sum(len(one["errors"]) for one in found.values()),
        "rss_kb_per_10000_inputs": max(slopes, default=None),
        "seconds": round(time.monotonic() - begun, 1),
        "seed": seed,
        "targets": found,
    }


def _line(one: dict[str, Any]) -> str:
    return (
        f"{one['inputs']:,} inputs in {one['seconds']:.0f} s, {one['crashes']} crashes, {one['hangs']} hangs,"
        f" {len(one['errors'])} undocumented errors, {one['rss_kb'][0] / 1024:.0f} to {one['rss_kb'][-1] / 1024:.0f} MB"
    )


def _fuzz(target: Target, inputs: int, seed: int) -> dict[str, Any]:
    begun = time.monotonic()
    crashes = hangs = done = 0
    errors: list[dict[str, Any]] = []
    samples: list[tuple[int, int]] = []
    fatal: list[str] = []
    for restart in range(_RESTARTS_MAX):
        with tempfile.TemporaryDirectory(prefix="dewpoint-fuzz-") as folder:
            log = Path(folder) / "log"
            command = [
                sys.executable, "-m", "tests.fuzz.child", target.name, "--inputs", str(inputs - done),
                "--log", str(log), "--folder", folder, "--seed", str(seed + restart),
                *([] if target.guided else ["--unguided"]),
            ]  # fmt: skip
            child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            left = [path.read_bytes().hex() for path in Path(folder).glob("*-*") if path.is_file()]
        errors += [line for line in lines if "error" in line]
        marks = [(done + line["inputs"], line["rss_kb"]) for line in lines if "rss_kb" in line]
        samples = samples or marks
        if child.returncode == 0:
            done = inputs
            break
        hangs += child.returncode == _HANG_STATUS
        crashes += child.returncode != _HANG_STATUS
        fatal += [f"status {child.returncode}: {child.stderr[-2000:]}", *left]
        done = marks[-1][0] if marks else done
        if not lines:  # it does not even begin
            break
    return {
        "inputs": done,
        "crashes": crashes,
        "hangs": hangs,
        "errors": errors,
        "fatal": fatal,
        "rss_kb": [rss for _, rss in samples] or [0],
        "rss_kb_per_10000_inputs": _slope(samples),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _slope(samples: list[tuple[int, int]]) -> float | None:
    """Least squares over what comes after the warm-up."""
    warm = samples[int(len(samples) * _WARM_UP_SHARE) :]
    if len(warm) < 3:
        return None
    inputs, rss_kb = np.array(warm, dtype=np.float64).T
    return round(float(np.polyfit(inputs, rss_kb, 1)[0]) * 10_000, 2)
