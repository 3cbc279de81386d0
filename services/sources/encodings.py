"""Pictures as the bytes that a camera would send: PNG, JPEG, WebP, or the bare values."""

from __future__ import annotations

import io
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.pictures import decode_picture
from services.sources.errors import SourceError

Encoding = Literal["png", "jpeg", "webp", "array"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
_OPTIONS: dict[Encoding, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 3},
    "jpeg": {"format": "JPEG", "quality": 90},
    "webp": {"format": "WEBP", "quality": 90, "method": 2},
}


def encoding_of(name: str) -> Encoding:
    """The encoding of this name. Raises SourceError."""
    for encoding in ENCODINGS:
        if encoding == name:
            return encoding
    raise SourceError(f"unknown encoding {name!r}; take one of {', '.join(ENCODINGS)}")


def encode(picture: npt.NDArray[np.uint8], encoding: Encoding, *, quality: int | None = None) -> bytes:
    """A picture (H, W, C) uint8, C = 1 (grey) or 3 (RGB), as bytes. Raises SourceError.

    JPEG and WebP lose detail: the less, the higher `quality`, 1 to 100, is (90 if none).
    """
    if encoding == "array":
        return np.ascontiguousarray(picture).tobytes()
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or picture.dtype != np.uint8:
        raise SourceError(f"no picture: {picture.shape} {picture.dtype}; send it as array")
    options = dict(_OPTIONS[encoding])
    if quality is not None and "quality" in options:
        options["quality"] = quality
    file = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(file, **options)
    return file.getvalue()


def decode(payload: bytes, encoding: Encoding, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """What a receiver sees: the pixels (H, W, C) uint8 of a picture that `encode` made."""
    if encoding == "array":
        return np.frombuffer(payload, dtype=np.uint8).reshape(shape)
    return decode_picture(payload, shape)
