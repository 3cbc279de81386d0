"""The latest scores of each device, against those of the calibration split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model.monitoring.psi import QUANTILE, Reference

WINDOW: Final = 400
SAMPLES_MIN: Final = 200
_PENDING_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Drift:
    """One device: the index, what it stays below where nothing has changed, and of how many samples.

    `psi` and `threshold` are None while the samples are too few.
    """

    psi: float | None
    threshold: float | None
    samples: int


class ScoreWindows:
    """The last `WINDOW` first-exit scores of each device. For one thread.

    Whoever gives the names bounds their number: a device takes half a KiB.
    """

    def __init__(self, reference: Reference, *, quantile: float = QUANTILE) -> None:
        self._reference, self._quantile = reference, quantile
        self._names: dict[str, int] = {}
        self._windows: list[_Window] = []
        self._pending_names: list[int] = []
        self._pending_scores: list[npt.NDArray[Any]] = []

    def add(self, devices: Sequence[str], scores: npt.NDArray[np.floating[Any]]) -> None:
        """Scores (N,) of the first exit, and the device of each. Scores that are not finite are left out."""
        names = self._names
        self._pending_names += [names.setdefault(device, len(names)) for device in devices]
        self._pending_scores.append(scores)
        if len(self._pending_names) > _PENDING_MAX:
            self._sort_in()

    def drifts(self) -> dict[str, Drift]:
        """How each device stands whose scores came since the last call."""
        self._sort_in()
        windows = zip(self._names, self._windows, strict=True)
        return {name: self._drift(window) for name, window in windows if window.moved}

    def _drift(self, window: _Window) -> Drift:
        window.moved = False
        if window.samples < SAMPLES_MIN:
            return Drift(None, None, window.samples)
        threshold = self._reference.threshold(window.samples, self._quantile)
        return Drift(self._reference.psi(window.counts), threshold, window.samples)

    def _sort_in(self) -> None:
        """Scores are put into their bins all at once, now and then: a batch of few costs next to nothing."""
        if not self._pending_scores:
            return
        names, scores = np.array(self._pending_names, dtype=np.intp), np.concatenate(self._pending_scores)
        self._pending_names, self._pending_scores = [], []
        finite = np.isfinite(scores)
        names, scores = names[finite], scores[finite]
        order = np.argsort(names, kind="stable")
        names, bins = names[order], self._reference.bins_of(scores[order])
        while len(self._windows) < len(self._names):
            self._windows.append(_Window(len(self._reference.counts)))
        begins = np.searchsorted(names, np.arange(len(self._windows) + 1))
        for number in np.flatnonzero(np.diff(begins)):
            self._windows[number].push(bins[begins[number] : begins[number + 1]])


class _Window:
    """A ring of bins with their counts."""

    def __init__(self, bins: int) -> None:
        self._ring = np.zeros(WINDOW, dtype=np.uint8)
        self._next = 0
        self.samples = 0
        self.counts = np.zeros(bins, dtype=np.int64)
        self.moved = False

    def push(self, bins: npt.NDArray[np.intp]) -> None:
        latest = bins[-WINDOW:]
        places = (self._next + np.arange(len(latest))) % WINDOW
        gone = max(0, self.samples + len(latest) - WINDOW)
        # Until the ring is full its free places come first: what is overwritten are the last `gone` of them.
        overwritten = self._ring[places[len(latest) - gone :]]
        size = len(self.counts)
        self.counts += np.bincount(latest, minlength=size) - np.bincount(overwritten, minlength=size)
        self._ring[places] = latest
        self._next = int((self._next + len(latest)) % WINDOW)
        self.samples = min(WINDOW, self.samples + len(latest))
        self.moved = True
