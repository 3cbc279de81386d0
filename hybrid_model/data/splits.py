"""Which rows of a set belong where: fixed divisions, the same on every machine and with every NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import Dataset, Int64Array


def stratified(y: Int64Array, *, count: int, seed: int = 0) -> npt.NDArray[np.bool_]:
    """Pick `count` of the samples so that every class keeps its share.

    y (N,) int64 class indices. Returns a mask (N,) of the picked ones. Where shares are not whole numbers, the classes
    with the greatest remainders get one more. Raises ValueError if `count` is not between 0 and N.
    """
    if not 0 <= count <= len(y):
        raise ValueError(f"cannot pick {count} of {len(y)} samples")
    random = np.random.RandomState(seed)  # its stream is frozen, Generator's is not
    classes, sizes = np.unique(y, return_counts=True)
    exact = sizes * (count / max(len(y), 1))
    quotas = np.floor(exact).astype(np.int64)
    remainders = np.argsort(-(exact - quotas), kind="stable")
    quotas[remainders[: count - int(quotas.sum())]] += 1
    mask = np.zeros(len(y), dtype=np.bool_)
    for label, quota in zip(classes, quotas, strict=True):
        mask[random.permutation(np.flatnonzero(y == label))[:quota]] = True
    return mask


def three_ways(
    y: Int64Array, *, tuning: int, calibration: int, seed: int = 0
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Divide samples into training, tuning and calibration rows, each ascending and stratified by `y` (N,)."""
    tuned = stratified(y, count=tuning, seed=seed)
    rest = np.flatnonzero(~tuned)
    calibrated = stratified(y[rest], count=calibration, seed=seed)
    return rest[~calibrated], np.flatnonzero(tuned), rest[calibrated]


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
