"""Replay of sensor windows as the continuous readings that they were cut from: JSON, several rows a message."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.data import Dataset
from services.messages import window_id
from services.sources.errors import SourceError
from services.sources.replay import Device, Outgoing, Replayed, new_run

DECIMALS = 6
GAP_S = 60.0


@dataclass(frozen=True)
class _Stretch:
    """A gap-free recording that one device sends: rows of the split, the place in the stream of its first window."""

    device: Device
    rows: npt.NDArray[np.int64]
    first_number: int
    first_seq: int
    first_t: float


class ReadingsReplay:
    """`frames` windows of a split, each device sending whole gap-free stretches; beyond the split they come again.

    Messages are `{"seq", "t", "values": [[C numbers], ...]}` with `rows_per_message` rows; row i has mark seq + i and
    time t + i / rate_hz. Times are recorded time, and end about now however fast the replay is; between two stretches
    lies a gap of GAP_S. `raw`: without seq and t. An edge that windows by the data set's length and hop makes exactly
    the windows of the split, under ids that follow from device and seq. Raises SourceError.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        devices: Sequence[Device],
        frames: int,
        split: str = "test",
        rows_per_message: int = 32,
        raw: bool = False,
        run: str | None = None,
        epoch: int = 0,
        first_seq: int = 0,
    ) -> None:
        if dataset.kind != "sensor" or dataset.rate_hz is None or dataset.hop is None:
            raise SourceError(f"{dataset.name} is not made of sensor readings")
        if rows_per_message < 1:
            raise SourceError(f"{rows_per_message} rows a message: at least 1 is needed")
        self._split = dataset.split(split)
        if self._split.segment is None:
            raise SourceError(f"{dataset.name} does not say which windows hang together")
        self.frames, self.run = frames, run or new_run()
        self._rate_hz, self._hop, self._length = dataset.rate_hz, dataset.hop, self._split.x.shape[2]
        self._rows_per_message, self._raw, self._epoch = rows_per_message, raw, epoch
        self._deviation = self._split.x.astype(np.float64).std(axis=(0, 1, 2))
        self._decimals = _decimals(self._deviation)
        self._first_seq = first_seq
        self._stretches = self._plan(tuple(devices))
        self._stretch_of = np.repeat(
            np.arange(len(self._stretches)), [len(stretch.rows) for stretch in self._stretches]
        )

    def __iter__(self) -> Iterator[Outgoing[Replayed]]:
        by_device: dict[str, list[_Stretch]] = {}
        for stretch in self._stretches:
            by_device.setdefault(stretch.device.name, []).append(stretch)
        running = [self._messages(stretches) for stretches in by_device.values()]
        while running:
            for messages in tuple(running):
                outgoing = next(messages, None)
                if outgoing is None:
                    running.remove(messages)
                else:
                    yield outgoing

    def inputs(self, numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        """What an edge decodes and windows for these places in the stream: (N, 1, length, C) float32."""
        found = np.empty((len(numbers), *self._split.x.shape[1:]), dtype=np.float32)
        wanted = np.asarray(numbers)
        for which in np.unique(self._stretch_of[wanted]):
            stretch = self._stretches[which]
            signal = self._signal(stretch).astype(np.float32)
            for at in np.flatnonzero(self._stretch_of[wanted] == which):
                first = (wanted[at] - stretch.first_number) * self._hop
                found[at, 0] = signal[first : first + self._length]
        return found

    def _plan(self, devices: tuple[Device, ...]) -> list[_Stretch]:
        """Deal the split's stretches out, each to the device with the fewest windows, until there are `frames`."""
        assert self._split.segment is not None
        starts = np.flatnonzero(np.diff(self._split.segment, prepend=self._split.segment[0] - 1))
        pieces = np.split(np.arange(len(self._split)), starts[1:])
        dealt = dict.fromkeys(devices, 0)
        shares: list[tuple[Device, npt.NDArray[np.int64]]] = []
        number = 0
        while number < self.frames:
            piece = pieces[len(shares) % len(pieces)][: self.frames - number]
            device = min(dealt, key=lambda d: dealt[d])
            shares.append((device, piece))
            dealt[device] += len(piece)
            number += len(piece)
        return self._dated(shares)

    def _dated(self, shares: list[tuple[Device, npt.NDArray[np.int64]]]) -> list[_Stretch]:
        """Give every stretch its first seq and time: both grow along each device's stream, which ends about now."""
        lasts_s: dict[str, float] = {}
        for device, piece in shares:
            lasts_s[device.name] = lasts_s.get(device.name, 0.0) + self._seconds(piece) + GAP_S
        now = time.time()
        clocks = {name: now - total for name, total in lasts_s.items()}
        marks = dict.fromkeys(lasts_s, self._first_seq)
        stretches, number = [], 0
        for device, piece in shares:
            stretches.append(_Stretch(device, piece, number, marks[device.name], clocks[device.name]))
            number += len(piece)
            marks[device.name] += self._readings(piece)
            clocks[device.name] += self._seconds(piece) + GAP_S
        return stretches

    def _readings(self, rows: npt.NDArray[np.int64]) -> int:
        return int(self._length + (len(rows) - 1) * self._hop)

    def _seconds(self, rows: npt.NDArray[np.int64]) -> float:
        return self._readings(rows) / self._rate_hz

    def _signal(self, stretch: _Stretch) -> npt.NDArray[np.float64]:
        """The readings (T, C) of a stretch as they are written into messages."""
        windows = self._split.x[stretch.rows, 0]
        signal: npt.NDArray[Any] = np.concatenate([windows[0], *windows[1:, self._length - self._hop :]])
        if stretch.device.degradation is not None:
            degrade = stretch.device.degradation.readings
            signal = degrade(signal, deviation=self._deviation, seed=stretch.first_number)
        written: npt.NDArray[np.float64] = signal.astype(np.float64).round(self._decimals)
        return written

    def _messages(self, stretches: list[_Stretch]) -> Iterator[Outgoing[Replayed]]:
        for stretch in stretches:
            signal = self._signal(stretch)
            for first in range(0, len(signal), self._rows_per_message):
                rows = signal[first : first + self._rows_per_message]
                body: dict[str, object] = {"values": rows.tolist()}
                if not self._raw:
                    body = {
                        "seq": stretch.first_seq + first,
                        "t": round(stretch.first_t + first / self._rate_hz, 6),
                        **body,
                    }
                yield Outgoing(
                    device=stretch.device.name,
                    payload=json.dumps(body, separators=(",", ":")).encode(),
                    completes=self._completed(stretch, first, first + len(rows)),
                    share=len(rows) / self._hop,
                )

    def _completed(self, stretch: _Stretch, first: int, end: int) -> tuple[Replayed, ...]:
        """The windows whose last reading is one of [first, end) of the stretch."""
        name, completed = stretch.device.name, []
        for window in range(len(stretch.rows)):
            last = window * self._hop + self._length - 1
            if first <= last < end:
                completed.append(
                    Replayed(
                        device=name,
                        id=window_id(name, self._epoch, stretch.first_seq + window * self._hop),
                        number=stretch.first_number + window,
                        class_index=int(self._split.y[stretch.rows[window]]),
                        captured_at=time.time(),
                    )
                )
        return tuple(completed)


def _decimals(deviation: npt.NDArray[np.float64]) -> int:
    """So many that the channel that moves least (C,) keeps six digits; DECIMALS at least."""
    least = deviation[deviation > 0].min(initial=1.0)
    return max(DECIMALS, DECIMALS - 1 - math.floor(math.log10(least)))
