"""Recordings become windows, as the edge worker cuts them: every `hop` readings from a recording's first one on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data.dataset import Int64Array
from hybrid_model.data.readings.recordings import Recording

__all__ = ["Windows", "block_digests", "cut_windows", "labelled_run"]

DIGEST_BYTES = 8


@dataclass(frozen=True, eq=False)
class Windows:
    """N windows of one label each, as places in `recordings`, by recording and start.

    recording, start, label, device: (N,) int64 each. `mixed`: how many were left out since labels change within them;
    `unlabelled`: since a reading has none.
    """

    recordings: Sequence[Recording]
    length: int
    hop: int
    recording: Int64Array
    start: Int64Array
    label: Int64Array
    device: Int64Array
    mixed: int = 0
    unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> Windows:
        """Those of the windows, by index or mask."""
        return Windows(
            self.recordings, self.length, self.hop,
            self.recording[which], self.start[which], self.label[which], self.device[which],
            self.mixed, self.unlabelled,
        )  # fmt: skip

    def x(self) -> npt.NDArray[np.float32]:
        """The windows themselves, (N, 1, length, C)."""
        channels = self.recordings[0].values.shape[1] if self.recordings else 1
        found = np.empty((len(self), 1, self.length, channels), np.float32)
        at = 0
        for number, starts in self._by_recording():
            view = np.lib.stride_tricks.sliding_window_view(self.recordings[number].values, self.length, axis=0)
            for start in starts:
                found[at, 0] = view[start].T
                at += 1
        return found

    def segment(self) -> Int64Array:
        """Numbers (N,): the same where each window starts `hop` after the one before, in one recording."""
        joined = (np.diff(self.recording) == 0) & (np.diff(self.start) == self.hop)
        first = np.zeros(min(1, len(self)), np.int64)
        return np.concatenate([first, np.cumsum(~joined, dtype=np.int64)]) if len(self) else first

    def sources(self, devices: Sequence[str]) -> tuple[str, ...]:
        """Of each the device, and the time of its first reading, or its number where there are no times."""
        said = []
        for number, start in zip(self.recording, self.start, strict=True):
            recording = self.recordings[number]
            name = devices[recording.device]
            if recording.first_s is None:
                said.append(f"{name}, reading {start}")
            else:
                said.append(f"{name}, {recording.first_s + start * recording.period_s:.3f} s")
        return tuple(said)

    def _by_recording(self) -> list[tuple[int, Int64Array]]:
        bounds = np.flatnonzero(np.diff(self.recording, prepend=-1))
        pieces = np.split(self.start, bounds[1:]) if len(self) else []
        return [(int(self.recording[bound]), piece) for bound, piece in zip(bounds, pieces, strict=True)]


def cut_windows(found: Sequence[Recording], length: int, hop: int) -> Windows:
    """All windows in which every reading has the same label."""
    places: list[Int64Array] = []
    mixed = unlabelled = 0
    for number, whole in enumerate(found):
        start = np.arange(0, len(whole.label) - length + 1, hop, dtype=np.int64)
        if not len(start):
            continue
        changes = np.concatenate([[0], np.cumsum(whole.label[1:] != whole.label[:-1])])
        none = np.concatenate([[0], np.cumsum(whole.label < 0)])
        lacks = none[start + length] > none[start]
        differs = (changes[start + length - 1] != changes[start]) & ~lacks
        mixed, unlabelled = mixed + int(differs.sum()), unlabelled + int(lacks.sum())
        start = start[~(differs | lacks)]
        label = whole.label[start].astype(np.int64)
        places.append(np.stack([np.full_like(start, number), start, label, np.full_like(start, whole.device)], axis=1))
    table = np.concatenate(places) if places else np.empty((0, 4), np.int64)
    recording, start, label, device = (np.ascontiguousarray(column) for column in table.T)
    return Windows(found, length, hop, recording, start, label, device, mixed, unlabelled)


def labelled_run(found: Sequence[Recording]) -> int:
    """How many readings of one label follow each other, for the middle one of all labelled readings; 0 without any."""
    runs = []
    for recording in found:
        bounds = np.flatnonzero(np.diff(recording.label, prepend=-2))
        sizes = np.diff(np.append(bounds, len(recording.label)))
        runs.append(sizes[recording.label[bounds] >= 0])
    sizes = np.sort(np.concatenate(runs)) if runs else np.empty(0, np.int64)
    if not len(sizes):
        return 0
    return int(sizes[np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)])


def block_digests(recording: Recording, length: int) -> list[bytes]:
    """The first 8 bytes of a SHA-256 of each block of `length` readings that do not overlap, from the first one on.

    What is left at the end counts only in a recording that is shorter than one block. They stay the same when readings
    are added behind, when the file is renamed or lies among others, and when labels change.
    """
    values = np.ascontiguousarray(recording.values, "<f4")
    starts = range(0, max(len(values) - length, 0) + 1, length)
    return [hashlib.sha256(values[start : start + length].data).digest()[:DIGEST_BYTES] for start in starts]
