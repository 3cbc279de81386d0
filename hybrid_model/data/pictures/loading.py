"""Pictures decoded to one size, split by split, into memory that is taken once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import SPLITS, Dataset, Int64Array, Split
from hybrid_model.data.own import LeftOut, OwnData
from hybrid_model.data.pictures.division import divide
from hybrid_model.data.pictures.errors import PictureDataError
from hybrid_model.data.pictures.progress import bar
from hybrid_model.data.pictures.survey import Picture, Survey
from hybrid_model.pixels import opened, rgb_pixels

__all__ = ["decode", "decoded_bytes", "free_bytes", "load_pictures"]

#: Of the memory that is free, the part that decoded pictures may take: training needs the rest.
_MEMORY_SHARE: Final = 0.6


def load_pictures(found: Survey, size: int, *, progress: bool = True) -> OwnData:
    """The pictures as a data set, x (N, size, size, 3) uint8 RGB, stretched to the square, divided by content.

    A file that does not decode is left out. Raises PictureDataError where they do not fit in memory, where a split has
    none of a class, or where too many files are damaged.
    """
    division = divide(found)
    splits, sources, digests, damaged = decode(division, found.classes, (size, size), progress=progress)
    for name in SPLITS:
        lacking = set(range(len(found.classes))) - set(splits[name].y.tolist())
        if lacking:
            label = found.classes[min(lacking)]
            raise PictureDataError(
                f"{found.name}: no picture of {label} is left for {name}, since {len(damaged)} files are damaged; "
                "add some, or take the class away"
            )
    dataset = Dataset(
        name=found.name,
        classes=found.classes,
        kind="image",
        train=splits["train"],
        tuning=splits["tuning"],
        calibration=splits["calibration"],
        test=splits["test"],
    )
    return OwnData(
        dataset=dataset,
        sources=sources,
        digests={name: tuple(sorted(some)) for name, some in digests.items()},
        left_out=(*found.left_out, *damaged),
        notes=(_divided_by(found, splits),),
    )


def decode(
    chosen: Mapping[str, Sequence[Picture]], classes: Sequence[str], size: tuple[int, int], *, progress: bool = True
) -> tuple[dict[str, Split], dict[str, tuple[str, ...]], dict[str, tuple[bytes, ...]], list[LeftOut]]:
    """Splits of x (N, *size, 3) uint8, with the sources and digests of their rows, and what did not decode.

    Raises PictureDataError where they do not fit in memory.
    """
    total = sum(len(some) for some in chosen.values())
    _require_memory(total, size)
    splits, sources, digests = {}, {}, {}
    damaged: list[LeftOut] = []
    numbers = {label: number for number, label in enumerate(classes)}
    with bar(f"decoding to {size[0]} x {size[1]}", total, progress=progress) as advance, ThreadPoolExecutor() as pool:
        for name, some in chosen.items():
            x = np.empty((len(some), *size, 3), dtype=np.uint8)
            kept: list[Picture] = []
            for one, pixels in zip(some, pool.map(lambda each: _pixels(each, size), some), strict=True):
                advance()
                if isinstance(pixels, LeftOut):
                    damaged.append(pixels)
                    continue
                x[len(kept)] = pixels
                kept.append(one)
            y: Int64Array = np.array([numbers[one.label] for one in kept], dtype=np.int64)
            splits[name] = Split(x=x[: len(kept)], y=y)
            sources[name] = tuple(one.source for one in kept)
            digests[name] = tuple(one.digest for one in kept)
    return splits, sources, digests, damaged


def decoded_bytes(count: int, size: tuple[int, int]) -> int:
    """Bytes of `count` pictures once they are decoded to `size`."""
    return count * size[0] * size[1] * 3


def free_bytes() -> int:
    """Bytes of memory that decoded pictures may take here: a share of what is free."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 2**33
    return int(_MEMORY_SHARE * 1024 * kib)


def _require_memory(count: int, size: tuple[int, int]) -> None:
    needed, free = decoded_bytes(count, size), free_bytes()
    if needed > free:
        raise PictureDataError(
            f"{count:,} pictures of {size[0]} x {size[1]} take {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB may be used here; give a smaller --size, or fewer pictures"
        )


def _pixels(one: Picture, size: tuple[int, int]) -> npt.NDArray[np.uint8] | LeftOut:
    try:
        with opened(one.path) as image:
            return rgb_pixels(image, *size)
    except Exception as error:  # a decoder fed with anything raises anything
        return LeftOut(one.source, f"does not decode ({type(error).__name__}: {str(error)[:80]})")


def _divided_by(found: Survey, splits: Mapping[str, Split]) -> str:
    counts = ", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS)
    given = sorted({one.part for one in found.pictures if one.part is not None})
    by = f"by the folders {', '.join(given)} and, within them, by content" if given else "by content, every class alike"
    return f"{counts}: divided {by}"
