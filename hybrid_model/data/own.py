"""What people bring themselves: a data set, where each sample of it comes from, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_model.data.dataset import Dataset

__all__ = ["LeftOut", "OwnData"]


@dataclass(frozen=True)
class LeftOut:
    """A file, or a part of one, that is not among the samples, and why."""

    source: str
    reason: str


@dataclass(frozen=True, eq=False)
class OwnData:
    """A data set made of somebody's own files.

    sources: by split, where each of its samples comes from, in the split's order: a file's path within the folder, or
    a recording and a time in it.
    digests: by split, the first 8 bytes of a SHA-256 of what each sample (or, where samples share it, recording) is
    made of, sorted: whether a file was trained on can be told from them later, wherever it lies then.
    notes: what was decided on the way in, and why, for people to read.
    """

    dataset: Dataset
    sources: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, tuple[bytes, ...]]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
