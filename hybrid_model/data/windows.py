"""Windows of a recording that share no reading."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import Dataset


def without_overlap(dataset: Dataset, split_name: str) -> npt.NDArray[np.bool_]:
    """Which samples of a split to keep, (N,) bool, so that no two share a reading; all where nothing overlaps.

    Of every gap-free recording (see `Split.segment`) the first window stays, and then each that begins where the last
    one kept has ended. Raises KeyError for an unknown split.
    """
    split = dataset.split(split_name)
    kept = np.ones(len(split), dtype=np.bool_)
    if split.segment is None or dataset.hop is None or not len(split):
        return kept
    length = split.x.shape[2]
    every = -(-length // dataset.hop)
    begins = np.flatnonzero(np.diff(split.segment, prepend=split.segment[0] - 1))
    place = np.arange(len(split)) - np.repeat(begins, np.diff(begins, append=len(split)))
    return np.asarray(place % every == 0)
