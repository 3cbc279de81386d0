"""How a picture becomes the payload of a message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.messages import Sample
from services.sources.encodings import Encoding, encode
from services.sources.frames.region import Region
from services.sources.frames.size import Size

__all__ = ["Packing", "enveloped"]


@dataclass(frozen=True)
class Packing:
    """The part of a picture that is sent, in which size and encoding; `quality` is that of JPEG and WebP, 1 to 100.

    `raw`: the bare bytes, without our envelope, id and time.
    """

    region: Region | None = None
    size: Size | None = None
    encoding: Encoding = "jpeg"
    quality: int = 90
    raw: bool = False

    def part(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The region of pixels (H, W, 3)."""
        return pixels if self.region is None else self.region.of(pixels)

    def payload(self, part: npt.NDArray[np.uint8], *, id: str, captured_at: float) -> bytes:
        """The message of a part (H, W, 3) that `part` has cut out."""
        pixels = np.ascontiguousarray(part) if self.size is None else self.size.of(np.ascontiguousarray(part))
        data = encode(pixels, self.encoding, quality=self.quality)
        if self.raw:
            return data
        if self.encoding == "array":
            return Sample(
                id=id, captured_at=captured_at, kind="array", shape=pixels.shape, dtype="uint8", data=data
            ).encode()
        return enveloped(data, id=id, captured_at=captured_at)


def enveloped(data: bytes, *, id: str, captured_at: float) -> bytes:
    """A picture file in our envelope, which leaves it to the edge worker how many channels it takes of it."""
    return Sample(id=id, captured_at=captured_at, kind="image", shape=None, dtype=None, data=data).encode()
