"""Samples in our own envelope, which carries an id, a time, and a picture or an array."""

from __future__ import annotations

from dataclasses import replace

from hybrid_model.bundle import Input
from services.edge.ingest.decoding.array import ArrayKind
from services.edge.ingest.decoding.image import ImageKind
from services.edge.ingest.decoding.kind import Decoded, SampleKind
from services.messages import MessageError, Sample, appearance
from services.settings import InputSettings, LimitSettings

__all__ = ["EnvelopeKind"]


class EnvelopeKind(SampleKind):
    """`services.messages.Sample` as msgpack. Its id makes a redelivery the same sample."""

    name = "sample"
    takes = frozenset(("roi", "background", "range", "truncated", "channels", "layout", "scale"))

    def __init__(self, expected: Input, settings: InputSettings, limits: LimitSettings) -> None:
        super().__init__(expected, settings, limits)
        # What an envelope holds is known only when it comes: neither has to fit the bundle beforehand.
        self._image = _UncheckedImage(expected, settings, limits)
        own = {"kind": "array", "shape": None, "dtype": None}
        self._array = _UncheckedArray(expected, settings.model_copy(update=own), limits)

    def sample(self, payload: bytes, received_at: float) -> Decoded:
        """The sample in the envelope."""
        try:
            sample = Sample.decode(payload)
        except MessageError as error:
            if error.reason != "not_msgpack":
                raise
            raise MessageError(error.reason, f"{error.detail[:100]}; {appearance(payload)}") from None
        if sample.kind == "image":
            array = self._image.pixels(sample.data)
        else:
            dtype = sample.dtype or self.expected.dtype
            array = self._array.values(sample.data, sample.shape or self._array.raw_shape, dtype)
        content = None if sample.traceparent is None else replace(sample, traceparent=None).encode()
        return Decoded(sample.id, sample.captured_at, array, sample.traceparent, content)


class _UncheckedImage(ImageKind):
    takes = EnvelopeKind.takes

    def check(self) -> None:
        self._prepare()


class _UncheckedArray(ArrayKind):
    takes = EnvelopeKind.takes
