"""A cloud half whose answers and failures are written in the features, and a worker process that runs it.

python -m tests.services.cloud.stand_in CONFIG
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrid_model import bundle
from hybrid_model.cut import CutError
from services import settings
from services.cloud.__main__ import run
from services.messages import Escalation

BUNDLE = "digits"
MANIFEST = bundle.load(bundle.resolve(BUNDLE)).manifest
B = MANIFEST.network_id

FINE, POISON, NOT_FINITE, DEADLY, HANGING, PADDED = range(6)


def features_of(kind: int, class_index: int = 0) -> bytes:
    """Features of the right length that make the stand-in behave."""
    return bytes([kind, class_index]) + bytes(MANIFEST.cut.bytes - 2)


def escalation(
    sample_id: str,
    kind: int = FINE,
    class_index: int = 0,
    *,
    device: str = "d",
    b: str = B,
    features: bytes | None = None,
) -> Escalation:
    """A hard sample for the stand-in."""
    packed = features_of(kind, class_index) if features is None else features
    return Escalation(sample_id, "s", "w", device, b, 1, ((1, 0.5),), packed, 1e9)


class StandIn:
    """Answers with the class that the features name. `batches` are the sizes that it was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.release = threading.Event()
        self.release.set()
        self.entered = threading.Event()

    def infer(self, features: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self.batches.append(len(features))
        self.entered.set()
        kinds = {packed[0] for packed in features}
        if DEADLY in kinds:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANGING in kinds:
            threading.Event().wait()
        self.release.wait(30)
        if PADDED in kinds:
            raise CutError("the bits behind the last code are not zero")
        if POISON in kinds:
            raise ValueError("poison")
        confidence = [np.nan if packed[0] == NOT_FINITE else 0.5 for packed in features]
        return np.array([packed[1] for packed in features]), np.array(confidence, dtype=np.float32)


if __name__ == "__main__":
    run(settings.load(Path(sys.argv[1])), lambda _: StandIn())
