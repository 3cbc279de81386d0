"""Replay of pictures: one message a picture, in our envelope with an id, or bare."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hybrid_model.data import Dataset
from services.messages import Sample
from services.sources.encodings import Encoding, decode, encode
from services.sources.errors import SourceError
from services.sources.replay import Device, Outgoing, Replayed, new_run


class ImageReplay:
    """`frames` pictures of a split, in turn by each device; beyond the split they come again under new ids.

    `encoding`: png, jpeg, webp or array. `raw`: the bare bytes without envelope and id. Raises SourceError.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        devices: Sequence[Device],
        frames: int,
        split: str = "test",
        encoding: Encoding = "png",
        raw: bool = False,
        run: str | None = None,
    ) -> None:
        if dataset.kind != "image":
            raise SourceError(f"{dataset.name} is not made of pictures")
        self.frames, self.run = frames, run or new_run()
        self._devices, self._encoding, self._raw = tuple(devices), encoding, raw
        self._split = dataset.split(split)

    def __iter__(self) -> Iterator[Outgoing[Replayed]]:
        for number in range(self.frames):
            device = self._device(number)
            data = encode(self._pixels(number), self._encoding)
            sample = Replayed(
                device=device.name,
                id=f"{self.run}-{number:06d}",
                number=number,
                class_index=int(self._split.y[self._row(number)]),
                captured_at=time.time(),
            )
            payload = data if self._raw else self._envelope(sample, data)
            yield Outgoing(device.name, payload, completes=(sample,), share=1.0)

    def inputs(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        """What an edge decodes for the pictures of these places in the stream: (N, H, W, C) uint8."""
        shape = self._split.x.shape[1:]
        if self._encoding in ("png", "array"):  # nothing is lost on the way
            return np.stack([self._pixels(number) for number in numbers])
        return np.stack(
            [decode(encode(self._pixels(number), self._encoding), self._encoding, shape) for number in numbers]
        )

    def _device(self, number: int) -> Device:
        return self._devices[number % len(self._devices)]

    def _row(self, number: int) -> int:
        return number % len(self._split)

    def _pixels(self, number: int) -> npt.NDArray[np.uint8]:
        picture: npt.NDArray[np.uint8] = self._split.x[self._row(number)]
        degradation = self._device(number).degradation
        if degradation is None:
            return picture
        picture = degradation.pictures(picture[np.newaxis], seed=number)[0]
        return picture

    def _envelope(self, sample: Replayed, data: bytes) -> bytes:
        plain = self._encoding == "array"
        return Sample(
            id=sample.id,
            captured_at=sample.captured_at,
            kind="array" if plain else "image",
            shape=tuple(int(n) for n in self._split.x.shape[1:]),
            dtype="uint8",
            data=data,
        ).encode()
