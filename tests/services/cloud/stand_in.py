"""A cloud half whose answers and failures are written in the features, and a worker process that runs it.

python -m tests.services.cloud.stand_in CONFIG
"""

from __future__ import annotations

import ctypes
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
from services.cloud import run
from services.messages import Escalation

BUNDLE = "digits"
MANIFEST = bundle.load(bundle.resolve(BUNDLE)).manifest
B = MANIFEST.network_id

FINE, POISON, NOT_FINITE, DEADLY, HANGING, PADDED, GIL_HANGING, GIL_HANGING_ONCE = range(8)


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


def kind_of(features: bytes) -> int:
    """How the stand-in behaves; FINE for features that an edge computed."""
    return FINE if any(features[2:]) else features[0]


class StandIn:
    """Answers with the class that the features name. `batches` are the sizes that it was given.

    `hung`: a file by which workers know that one of them has hung already.
    """

    def __init__(self, hung: Path = Path(os.devnull)) -> None:
        self._hung = hung
        self.batches: list[int] = []
        self.release = threading.Event()
        self.release.set()
        self.entered = threading.Event()

    def infer(self, features: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self.batches.append(len(features))
        self.entered.set()
        kinds = {kind_of(packed) for packed in features}
        if DEADLY in kinds:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANGING in kinds:
            threading.Event().wait()
        if GIL_HANGING in kinds or (GIL_HANGING_ONCE in kinds and not self._hung.exists()):
            self._hung.touch()
            ctypes.PyDLL(None).sleep(3600)  # unlike time.sleep it keeps Python's lock
        self.release.wait(30)
        if PADDED in kinds:
            raise CutError("the bits behind the last code are not zero")
        if POISON in kinds:
            raise ValueError("poison")
        confidence = [np.nan if kind_of(packed) == NOT_FINITE else 0.5 for packed in features]
        return np.array([packed[1] % len(MANIFEST.classes) for packed in features]), np.array(
            confidence, dtype=np.float32
        )


if __name__ == "__main__":
    config = Path(sys.argv[1])
    run(settings.load(config), lambda _: StandIn(config.parent / "hung"))
