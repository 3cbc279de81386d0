"""A data set in memory: four splits of real samples with their true classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hybrid_model.errors import DewpointError

Int64Array = npt.NDArray[np.int64]
SPLITS = ("train", "tuning", "calibration", "test")


class DataError(DewpointError):
    """A data set cannot be had; the message says why and what to do."""


class DataMissingError(DataError):
    """The files of a data set are nowhere to be found and could not be fetched."""


class DataDamagedError(DataError):
    """A file is there, but it is truncated, altered or something else."""


def _no_rows() -> Int64Array:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Samples of one purpose, in the order in which they were recorded or published.

    `x` (N, H, W, C) uint8 or float32; `y` (N,) int64 class indices; `group` (N,) int64, the subject or none;
    `segment` (N,) int64 or none: rows with one number and neighbouring indices are one gap-free recording, in which
    each window starts `Dataset.hop` rows of readings after the one before.
    """

    x: npt.NDArray[Any]
    y: Int64Array
    group: Int64Array | None = None
    segment: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> Split:
        """The samples at `rows` (indices, or a mask of N booleans) as a split of its own."""
        return Split(
            x=np.ascontiguousarray(self.x[rows]),
            y=self.y[rows],
            group=None if self.group is None else self.group[rows],
            segment=None if self.segment is None else self.segment[rows],
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set.

    `kind` is "image" (values are pixels) or "sensor" (a signal: height 1, width = readings, C = channels).
    `channels`, `rate_hz` and `hop` belong to sensors. `approx_test` holds the rows of the test split whose pixels are
    not the publisher's own; a strict evaluation leaves them out.
    """

    name: str
    classes: tuple[str, ...]
    kind: Literal["image", "sensor"]
    train: Split
    tuning: Split
    calibration: Split
    test: Split
    channels: tuple[str, ...] | None = None
    rate_hz: float | None = None
    hop: int | None = None
    approx_test: Int64Array = field(default_factory=_no_rows)

    def split(self, name: str) -> Split:
        """The split called `name`. Raises KeyError for a name that is not one of SPLITS."""
        if name not in SPLITS:
            raise KeyError(f"no split {name!r}; there are {', '.join(SPLITS)}")
        split: Split = getattr(self, name)
        return split

    def fingerprint(self, split_name: str) -> str:
        """16 hex digits of a SHA-256 over the samples' and the classes' bytes: tells whether data are the same."""
        split = self.split(split_name)
        digest = hashlib.sha256(np.ascontiguousarray(split.x).data)
        digest.update(np.ascontiguousarray(split.y).data)
        return digest.hexdigest()[:16]
