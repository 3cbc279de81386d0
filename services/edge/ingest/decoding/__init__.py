"""Payloads become samples and readings, one file a payload kind. What is wrong with one is a MessageError.

A new kind is a file beside these with a subclass of `SampleKind` or `ReadingKind`, and its line in `KINDS`.
"""

from __future__ import annotations

from typing import Final

from hybrid_model.bundle import Input
from services.edge.errors import EdgeError
from services.edge.ingest.decoding.array import ArrayKind
from services.edge.ingest.decoding.image import ImageKind
from services.edge.ingest.decoding.kind import Decoded, PayloadKind, ReadingKind, SampleKind
from services.edge.ingest.decoding.sample import EnvelopeKind
from services.edge.ingest.decoding.sensor import SensorKind
from services.settings import InputSettings, LimitSettings

__all__ = ["KINDS", "Decoded", "PayloadKind", "ReadingKind", "SampleKind", "payload_kind"]

#: Every payload kind, by the name that settings call it.
KINDS: Final[dict[str, type[PayloadKind]]] = {
    kind.name: kind
    for kind in (
        EnvelopeKind,
        ImageKind,
        ArrayKind,
        SensorKind,
    )
}


def payload_kind(expected: Input, settings: InputSettings, limits: LimitSettings) -> PayloadKind:
    """The decoder of one input, for a bundle that takes `expected`.

    Raises EdgeError where there is no such kind, or the input cannot feed this bundle.
    """
    kind = KINDS.get(settings.kind)
    if kind is None:
        raise EdgeError(f"input {settings.topic}: kind {settings.kind!r} is unknown; take one of {', '.join(KINDS)}")
    return kind(expected, settings, limits)
