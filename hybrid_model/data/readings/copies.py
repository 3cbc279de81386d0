"""Recordings that are there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hybrid_model.data.own import LeftOut
from hybrid_model.data.readings.recordings import Recording

__all__ = ["without_copies"]


def without_copies(
    found: Sequence[Recording], length: int, devices: Sequence[str]
) -> tuple[list[Recording], list[LeftOut]]:
    """Without recordings that are the same as one before, value for value: one could train, and its copy judge."""
    seen: dict[bytes, Recording] = {}
    kept, copies = [], []
    for recording in found:
        if len(recording.values) < length:
            kept.append(recording)
            continue
        digest = hashlib.sha256(np.ascontiguousarray(recording.values).data).digest()
        first = seen.setdefault(digest, recording)
        if first is recording or recording.values.min() == recording.values.max():
            kept.append(recording)
        else:
            copies.append(LeftOut(devices[recording.device], f"a copy of a recording of {devices[first.device]}"))
    return kept, copies
