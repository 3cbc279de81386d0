"""Random numbers of a sample: the same on every machine, whatever else is in its batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class Streams:
    """One stream a sample, by the name of what is drawn for, the severity, and the sample's number in its split.

    MT19937 through NumPy's `RandomState`, whose streams are frozen (NEP 19); `Generator`'s are not. What takes
    logarithms, normal and Poisson numbers, may differ in the last bit where the C library does.
    """

    def __init__(self, name: str, severity: int, index: npt.NDArray[np.integer[Any]]) -> None:
        named = zlib.crc32(name.encode())
        self._states = [np.random.RandomState([named, severity, int(number)]) for number in index]

    def __len__(self) -> int:
        return len(self._states)

    def normal(self, *shape: int) -> npt.NDArray[np.float32]:
        """Standard normal numbers (N, *shape)."""
        return self._stacked(lambda state: state.standard_normal(shape), np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> npt.NDArray[np.float32]:
        """Numbers from low to high, (N, *shape)."""
        return self._stacked(lambda state: low + (high - low) * state.random_sample(shape), np.float32)

    def integers(self, low: int, high: int, *shape: int) -> npt.NDArray[np.int64]:
        """Whole numbers from low to high, high excluded, (N, *shape)."""
        return self._stacked(lambda state: state.randint(low, high, shape), np.int64)

    def poisson(self, mean: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Poisson numbers of these means (N, ...), each sample's from its own stream."""
        drawn = [state.poisson(one) for state, one in zip(self._states, mean.astype(np.float64), strict=True)]
        return np.stack(drawn).astype(np.float32)

    def _stacked(self, draw: Callable[[np.random.RandomState], Any], dtype: type) -> npt.NDArray[Any]:
        return np.stack([draw(state) for state in self._states]).astype(dtype)
