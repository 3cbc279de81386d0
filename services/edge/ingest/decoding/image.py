"""Pictures: JPEG, PNG or WebP bytes, as they are, as base64, or within JSON."""

from __future__ import annotations

import uuid
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model.pixels import PictureRules
from services.edge.ingest.decoding.field_paths import FieldPaths
from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.edge.ingest.decoding.paths import json_of
from services.edge.ingest.decoding.text import bytes_of_text
from services.messages import MessageError, brief, sample_id
from services.pictures import decode_picture

__all__ = ["ImageKind"]

#: Channels that a picture can have: grey, RGB, RGBA.
_CHANNELS: Final = (1, 3, 4)


class ImageKind(SampleKind):
    """A picture file. Where it carries no id and no time, a redelivery is a second sample."""

    name = "image"
    takes = frozenset(("encoding", "roi", "background", "range", "truncated", "channels", "fields"))

    def check(self) -> None:
        """The bundle must take 1, 3 or 4 channels, and every path must compile."""
        if self.shape[2] not in _CHANNELS:
            raise self.refuse(f"the bundle takes {self.wanted}, which no picture is")
        self._prepare()

    def _prepare(self) -> None:
        settings, mapped = self.settings, self.settings.fields.mapped
        self.rules = PictureRules(
            fit=settings.fit,
            roi=None if settings.roi is None else (*settings.roi,),  # type: ignore[arg-type]
            background=(*settings.background,),  # type: ignore[arg-type]
            grey_range=None if settings.range is None else (settings.range[0], settings.range[1]),
            bgr=settings.channels == "bgr",
        )
        if mapped and settings.fields.image is None:
            raise self.refuse("fields of kind 'image' need fields.image, the path to the picture")
        if mapped and (settings.fields.values or settings.fields.seq):
            raise self.refuse("fields.values and fields.seq are for kind 'sensor'; take them out")
        if mapped and settings.encoding != "binary":
            raise self.refuse('encoding = "base64" is for payloads without JSON; fields.image reads base64 anyhow')
        self._paths = FieldPaths(settings.fields, self.refuse) if mapped else None

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The picture; as if it was taken when it came, where it carries no time."""
        if self._paths is not None:
            return self._of_json(self._paths, payload, received_at)
        data = payload if self.settings.encoding == "binary" else bytes_of_text(payload)
        return Decoded(uuid.uuid4().hex, received_at, self.pixels(data))

    def _of_json(self, paths: FieldPaths, payload: bytes, received_at: float) -> Decoded:
        document = json_of(payload)
        paths.require_meant(document)
        assert paths.image is not None
        found = paths.image.find(document)
        if found is None:
            raise MessageError("missing_field", f"{paths.image} finds nothing")
        if not isinstance(found, str):
            raise MessageError("bad_field", f"{paths.image}: {brief(found)} instead of base64 or a data URL")
        at, sample = paths.time_s(document), paths.id(document)
        pixels = self.pixels(bytes_of_text(found.encode(errors="replace")))
        if sample is None:
            # Its own time makes the same bytes the same sample.
            sample = uuid.uuid4().hex if at is None else sample_id(self.settings.topic, at, payload)
        return Decoded(sample, received_at if at is None else at, pixels)

    def pixels(self, data: bytes) -> npt.NDArray[Any]:
        """The pixels (H, W, C) in the bundle's type. Raises MessageError."""
        pixels = decode_picture(
            data,
            self.shape,
            rules=self.rules,
            pixels_max=self.limits.image_pixels_max,
            pixels_min=self.limits.image_pixels_min,
            accept_truncated=self.settings.truncated == "accept",
        )
        return pixels if self.dtype == np.uint8 else pixels.astype(self.dtype)
