"""Pictures of which nobody says what they show: for a teacher to say it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import Dataset, Split
from hybrid_model.data.own import LeftOut
from hybrid_model.data.pictures.errors import PictureDataError
from hybrid_model.data.pictures.listing import Listed, loose_pictures
from hybrid_model.data.pictures.loading import decode
from hybrid_model.data.pictures.survey import looked_at

__all__ = ["NO_LABEL", "Unlabelled", "load_unlabelled"]

#: The class index of a picture that has none.
NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Pictures x (N, size, size, 3) uint8, where each comes from, and what was left out."""

    x: npt.NDArray[np.uint8]
    sources: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    def beside(self, dataset: Dataset) -> Dataset:
        """The data set with these pictures among its training samples, of no class."""
        from dataclasses import replace

        none = np.full(len(self.x), NO_LABEL, dtype=np.int64)
        train = Split(x=np.concatenate([dataset.train.x, self.x]), y=np.concatenate([dataset.train.y, none]))
        return replace(dataset, train=train)


def load_unlabelled(folder: Path, size: int, *, known: Collection[bytes], progress: bool = True) -> Unlabelled:
    """All pictures of a folder at any depth, each content once, none of those in `known` (digests of 8 bytes).

    Raises PictureDataError where there is no such folder, nothing is left, or they do not fit in memory.
    """
    if not folder.is_dir():
        raise PictureDataError(f"{folder}: no such folder; give one with pictures")
    files = [Listed(file, file.relative_to(folder).as_posix(), "") for file in loose_pictures(folder)]
    found, left_out = looked_at(files, progress=progress)
    seen, kept = set(known), []
    for one in found:
        if one.digest in seen:
            left_out.append(LeftOut(one.source, "there twice, or among the labelled pictures"))
        else:
            seen.add(one.digest)
            kept.append(one)
    if not kept:
        raise PictureDataError(f"{folder}: none of its {len(files)} picture files can be used; give other frames")
    splits, sources, _, damaged = decode({"train": kept}, ("",), (size, size), progress=progress)
    return Unlabelled(splits["train"].x, sources["train"], (*left_out, *damaged))
