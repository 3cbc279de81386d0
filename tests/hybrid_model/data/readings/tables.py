"""Small files of readings, as people write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

RATE_HZ = 50.0
START_S = 1_700_000_000.0


def signal(label: str, count: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Readings (count, channels) of a class: a sine of its own frequency, and noise; to four decimals."""
    random = np.random.default_rng([seed, *label.encode()])
    frequency_hz = 1 + sum(label.encode()) % 7
    phase = 2 * np.pi * frequency_hz * np.arange(count)[:, np.newaxis] / RATE_HZ + np.arange(channels)
    return (np.sin(phase) + 0.1 * random.normal(size=(count, channels))).round(4)


def rows_of(
    device: str, labels: Sequence[str], *, each: int = 640, channels: int = 3, period_s: float = 1 / RATE_HZ
) -> list[list[str]]:
    """Rows device, time, label, values: of each class `each` readings, one after the other."""
    rows = []
    for label in labels:
        for values in signal(label, each, channels, seed=sum(device.encode())):
            rows.append([device, f"{START_S + len(rows) * period_s:.4f}", label, *(f"{value:.4f}" for value in values)])
    return rows


def header(channels: int = 3) -> list[str]:
    return ["device", "time", "label", *(f"c{number}" for number in range(channels))]


def write(
    path: Path, rows: Iterable[Sequence[str]], *, names: Sequence[str] | None = None, delimiter: str = ","
) -> Path:
    path.write_text("\n".join(delimiter.join(row) for row in [names or header(), *rows]) + "\n", encoding="utf-8")
    return path


def several(count: int, labels: Sequence[str] = ("run", "walk", "rest"), **options: int) -> list[list[str]]:
    """Rows of `count` devices, each with all classes."""
    return [row for number in range(count) for row in rows_of(f"dev-{number}", labels, **options)]
