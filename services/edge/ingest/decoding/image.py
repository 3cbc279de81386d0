"""Pictures: JPEG, PNG or WebP bytes."""

from __future__ import annotations

import io
import uuid
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.messages import MessageError

__all__ = ["ImageKind", "decode_picture"]

# Ours is checked against the header before anything is decompressed; Pillow's own limit would only warn.
Image.MAX_IMAGE_PIXELS = None

_FORMATS: Final = ("JPEG", "PNG", "WEBP")
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageKind(SampleKind):
    """A picture file as it is. It carries no id: a redelivery is a second sample."""

    name = "image"

    def check(self) -> None:
        """The bundle must take 1, 3 or 4 channels."""
        if self.shape[2] not in _MODES:
            raise self.refuse(f"the bundle takes {self.wanted}, which no picture is")

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The picture, as if it was taken when it came."""
        return Decoded(uuid.uuid4().hex, received_at, self.pixels(payload))

    def pixels(self, data: bytes) -> npt.NDArray[Any]:
        """The pixels (H, W, C) in the bundle's type. Raises MessageError."""
        resize, pixels_max = self.settings.fit == "resize", self.limits.image_pixels_max
        pixels = decode_picture(data, self.shape, resize=resize, pixels_max=pixels_max)
        return pixels if self.dtype == np.uint8 else pixels.astype(self.dtype)


def decode_picture(
    data: bytes, shape: tuple[int, ...], *, resize: bool = False, pixels_max: int = 16_000_000
) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, C) uint8 of a JPEG, PNG or WebP file as `shape` asks for: 1 channel grey, 3 RGB, 4 RGBA.

    Raises MessageError: too_many_pixels, wrong_shape (another size, without `resize`), wrong_mode, bad_image.
    """
    height, width, channels = shape
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > pixels_max:
                raise MessageError("too_many_pixels", f"{image.width} x {image.height}, {pixels_max} are allowed")
            if not resize and (image.height, image.width) != (height, width):
                raise MessageError("wrong_shape", f"{image.height} x {image.width} instead of {height} x {width}")
            if image.mode[0] in "IF":
                raise MessageError("wrong_mode", f"pixels of mode {image.mode}")
            image.load()
            pixels: Image.Image = image if image.mode == _MODES[channels] else image.convert(_MODES[channels])
            if (pixels.height, pixels.width) != (height, width):
                pixels = pixels.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
            return np.asarray(pixels, dtype=np.uint8).reshape(height, width, channels)
    except MessageError:
        raise
    except Exception as error:  # a decoder fed with anything raises anything
        raise MessageError("bad_image", f"{type(error).__name__}: {error}"[:200]) from None
