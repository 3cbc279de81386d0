"""Samples in our own envelope, which carries an id, a time, and a picture or an array."""

from __future__ import annotations

from dataclasses import replace

from hybrid_model.bundle import Input
from services.edge.ingest.decoding.array import ArrayKind
from services.edge.ingest.decoding.image import ImageKind
from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.messages import Sample
from services.settings import InputSettings, LimitSettings

__all__ = ["EnvelopeKind"]


class EnvelopeKind(SampleKind):
    """`services.messages.Sample` as msgpack. Its id makes a redelivery the same sample."""

    name = "sample"

    def __init__(self, expected: Input, settings: InputSettings, limits: LimitSettings) -> None:
        super().__init__(expected, settings, limits)
        # What an envelope holds is known only when it comes: neither has to fit the bundle beforehand.
        self._image = _Unchecked(expected, settings, limits)
        self._array = ArrayKind(expected, InputSettings(kind="array"), limits)

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The sample in the envelope."""
        sample = Sample.decode(payload)
        if sample.kind == "image":
            array = self._image.pixels(sample.data)
        else:
            array = self._array.values(sample.data, sample.shape or self.shape, sample.dtype or self.expected.dtype)
        content = None if sample.traceparent is None else replace(sample, traceparent=None).encode()
        return Decoded(sample.id, sample.captured_at, array, sample.traceparent, content)


class _Unchecked(ImageKind):
    def check(self) -> None:
        pass
