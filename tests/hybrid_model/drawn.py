"""Folders of drawn pictures: bars that lie one way or another, each in colours of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("flat", "steep", "rising", "falling")


def picture(kind: str, seed: int, height: int = 20, width: int = 24) -> Image.Image:
    """A bright bar on a dark ground, with some noise: no two seeds give the same file."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    across = {"flat": y, "steep": x, "rising": x + y, "falling": x - y}[kind]
    bar = np.abs(across + rng.uniform(-0.1, 0.1)) < 0.12
    pixels = np.where(bar[..., None], rng.integers(150, 230, 3), rng.integers(0, 90, 3))
    return Image.fromarray((pixels + rng.integers(0, 20, pixels.shape)).astype(np.uint8))


def folder_of(folder: Path, counts: Mapping[str, int], *, first: int = 0, height: int = 20, width: int = 24) -> Path:
    """A folder with a class folder for each kind, of so many PNG files."""
    for kind, count in counts.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            picture(kind, seed, height, width).save(folder / kind / f"{seed:04d}.png")
    return folder
