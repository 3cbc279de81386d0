"""Continuous sensor readings, and which windows they are owed: a model of its own, not the edge's."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.messages import window_id, window_stream
from tests.chaos.books import Key

LENGTH, HOP, RATE_HZ, CHANNELS = 128, 64, 50.0, 9
_ROWS = 32
_HAR_NAMES = ("uci_har_q12.npz", "UCI HAR Dataset", "UCI HAR Dataset.zip", "uci_har.zip")


def recording(source: str, seed: int) -> tuple[str, npt.NDArray[np.float64]]:
    """(what it is, readings (T, 9)). `source`: har, synthetic, or auto: HAR where $DEWPOINT_DATA holds it."""
    folder = os.environ.get("DEWPOINT_DATA")
    at_hand = folder is not None and any((Path(folder) / name).exists() for name in _HAR_NAMES)
    if source == "har" or (source == "auto" and at_hand):
        from hybrid_model import data

        halves = data.load("har", progress=False).test.x[:, 0, :HOP]
        return "UCI HAR, test subjects", halves.reshape(-1, CHANNELS).astype(np.float64).round(6)
    rng = np.random.default_rng(seed)
    seconds = np.arange(60_000)[:, np.newaxis] / RATE_HZ
    waves = np.sin(2 * np.pi * seconds * rng.uniform(0.3, 3.0, CHANNELS) + rng.uniform(0, 6, CHANNELS))
    noise = rng.normal(0, 0.2, (len(seconds), CHANNELS))
    return "synthetic waves and noise", (waves * rng.uniform(0.1, 0.8, CHANNELS) + noise).round(6)


class Device:
    """One sensor. `next_message` gives its next readings; the windows that they fill are owed a final label each.

    Marks count rows from 0 without a hole, so a window is known by its first mark. A rejected message, and a gap in
    time, begin a new window. `network_id`: of a worker's second network, which keeps windows apart.
    """

    def __init__(self, name: str, rows: npt.NDArray[np.float64], *, offset: int, network_id: str | None = None) -> None:
        self.name, self._stream = name, window_stream(name, network_id)
        self._rows, self._offset = rows, offset
        self._mark = self._first = 0
        self._began_at = time.time()
        self._gaps_s = 0.0

    def next_message(self) -> tuple[bytes, list[Key]]:
        """The payload, and the keys of the windows that it fills."""
        at = (self._offset + self._mark + np.arange(_ROWS)) % len(self._rows)
        fields: dict[str, Any] = {
            "seq": self._mark,
            "t": round(self._began_at + self._gaps_s + self._mark / RATE_HZ, 6),
            "values": self._rows[at].tolist(),
        }
        self._mark += _ROWS
        filled = []
        while self._first + LENGTH <= self._mark:
            filled.append((self.name, window_id(self._stream, 0, self._first)))
            self._first += HOP
        return json.dumps(fields, separators=(",", ":")).encode(), filled

    def pause(self, seconds: float) -> None:
        """It is off for a while: the window begun is given up."""
        self._gaps_s += seconds
        self._restart()

    def spoil(self) -> None:
        """A message of this device is rejected: the window begun is given up."""
        self._restart()

    def _restart(self) -> None:
        self._first = self._mark
