"""Pictures: JPEG, PNG or WebP bytes."""

from __future__ import annotations

import uuid
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.pictures import decode_picture

__all__ = ["ImageKind"]

#: Channels that a picture can have: grey, RGB, RGBA.
_CHANNELS: Final = (1, 3, 4)


class ImageKind(SampleKind):
    """A picture file as it is. It carries no id: a redelivery is a second sample."""

    name = "image"

    def check(self) -> None:
        """The bundle must take 1, 3 or 4 channels."""
        if self.shape[2] not in _CHANNELS:
            raise self.refuse(f"the bundle takes {self.wanted}, which no picture is")

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The picture, as if it was taken when it came."""
        return Decoded(uuid.uuid4().hex, received_at, self.pixels(payload))

    def pixels(self, data: bytes) -> npt.NDArray[Any]:
        """The pixels (H, W, C) in the bundle's type. Raises MessageError."""
        resize, pixels_max = self.settings.fit == "resize", self.limits.image_pixels_max
        pixels = decode_picture(data, self.shape, resize=resize, pixels_max=pixels_max)
        return pixels if self.dtype == np.uint8 else pixels.astype(self.dtype)
