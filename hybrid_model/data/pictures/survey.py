"""What is known of pictures before any is decoded: their sizes, whether one is there twice, how many of each class."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hybrid_model.data.own import LeftOut
from hybrid_model.data.pictures.errors import PictureDataError
from hybrid_model.data.pictures.listing import Listed, Part, list_pictures
from hybrid_model.data.pictures.progress import bar
from hybrid_model.pixels import PIXELS_MAX, opened, upright_size

__all__ = ["LEAST_PER_CLASS", "Picture", "Survey", "looked_at", "require_trainable", "survey"]

#: Below this many pictures of a class, a split would have none of it, or training next to none.
LEAST_PER_CLASS: Final = 10
DIGEST_BYTES: Final = 8
#: Of two equal files, the one that is kept: what somebody tests with must not be trained on.
_KEPT_FIRST: Final[dict[Part | None, int]] = {"test": 0, "val": 1, "train": 2, None: 3}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file: where it lies, its class, the first 8 bytes of its SHA-256, its upright size in pixels."""

    path: Path
    source: str
    label: str
    part: Part | None
    digest: bytes
    height: int
    width: int


@dataclass(frozen=True)
class Survey:
    """All picture files by source, each content once; `classes` sorted by name; what was left out, and why."""

    name: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def per_class(self) -> dict[str, int]:
        """How many pictures there are of each class."""
        counts = Counter(one.label for one in self.pictures)
        return {label: counts[label] for label in self.classes}

    @property
    def per_class_to_learn_from(self) -> dict[str, int]:
        """The same without what somebody has set aside to test with."""
        counts = Counter(one.label for one in self.pictures if one.part != "test")
        return {label: counts[label] for label in self.classes}

    @property
    def median_side(self) -> int:
        """The median of the pictures' shorter sides, in pixels."""
        return int(np.median([min(one.height, one.width) for one in self.pictures]))


def survey(path: Path, *, progress: bool = True) -> Survey:
    """Reads every file of a folder or CSV once and opens its header; `progress` shows a bar meanwhile.

    A file that is no picture, or that is there twice, is left out. Raises PictureDataError where no picture is left.
    """
    listing = list_pictures(path)
    found, unread = looked_at(listing.files, progress=progress)
    left_out = [*listing.left_out, *unread]
    kept, repeated = _once_each(found)
    if not kept:
        first = left_out[0]
        raise PictureDataError(
            f"{path}: none of its {len(listing.files)} files is a picture; the first, {first.source}: {first.reason}"
        )
    return Survey(listing.name, listing.classes, tuple(kept), (*left_out, *repeated))


def looked_at(files: Sequence[Listed], *, progress: bool = True) -> tuple[list[Picture], list[LeftOut]]:
    """What is known of files that may be pictures, and those that are none."""
    found: list[Picture] = []
    left_out: list[LeftOut] = []
    with bar("looking at pictures", len(files), progress=progress) as advance, ThreadPoolExecutor() as pool:
        for one in pool.map(_look_at, files):
            advance()
            if isinstance(one, LeftOut):
                left_out.append(one)
            else:
                found.append(one)
    return found, left_out


def require_trainable(found: Survey) -> None:
    """Raises PictureDataError where there are not two classes, or too few pictures of one."""
    counts = found.per_class
    if len(counts) < 2:
        raise PictureDataError(
            f"{found.name}: all pictures are of one class, {found.classes[0]}; a network tells two or more apart"
        )
    least = min(counts, key=lambda label: counts[label])
    if counts[least] < LEAST_PER_CLASS:
        raise PictureDataError(
            f"{found.name}: class {least} has {counts[least]} pictures that can be used, and {LEAST_PER_CLASS} are the "
            "least; add some, or take the class away"
        )


def _look_at(file: Listed) -> Picture | LeftOut:
    try:
        content = file.path.read_bytes()
        with opened(io.BytesIO(content)) as image:
            height, width = upright_size(image)
    except Exception as error:  # a decoder fed with anything raises anything
        return LeftOut(file.source, f"not a picture that can be read ({_brief(error, file.path)})")
    if height * width > PIXELS_MAX:
        return LeftOut(file.source, f"{height} x {width} pixels are more than {PIXELS_MAX:,}")
    digest = hashlib.sha256(content).digest()[:DIGEST_BYTES]
    return Picture(file.path, file.source, file.label, file.part, digest, height, width)


def _brief(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if "cannot identify" in str(error) else f"{error}".replace(str(path), "it")[:100]


def _once_each(found: list[Picture]) -> tuple[list[Picture], list[LeftOut]]:
    """Each content once, and what is left out for that; a content under two classes not at all."""
    by_digest: dict[bytes, list[Picture]] = defaultdict(list)
    for one in found:
        by_digest[one.digest].append(one)
    kept, left_out = [], []
    for same in by_digest.values():
        first = min(same, key=lambda one: (_KEPT_FIRST[one.part], one.source))
        other = next((one for one in same if one.label != first.label), None)
        if other is None:
            kept.append(first)
            left_out += [LeftOut(one.source, f"the same file as {first.source}") for one in same if one is not first]
        else:
            reason = f"the same file is there as {first.label} and as {other.label}"
            left_out += [LeftOut(one.source, reason) for one in same]
    return sorted(kept, key=lambda one: one.source), left_out
