"""How near two samples' features have to be for one answer to serve both: its part of the manifest."""

from __future__ import annotations

import math
from typing import Final

from pydantic import Field

from hybrid_model.bundle.calibration import Part

#: Share of a scene's answers that calibration lets change, and the level of its test.
ALPHA: Final = 0.05
DELTA: Final = 0.05
#: With fewer scenes, not even a distance that changes nothing passes.
SCENES_MIN: Final = math.ceil(math.log(DELTA) / math.log1p(-ALPHA))


class Reuse(Part):
    """Where features differ in at most `distance_bits` bits, the cloud's answer to one sample may serve the other.

    `distance_bits` is the largest distance that passed a test, at level `delta`, of "of a scene's hard samples, more
    than `alpha` get another class than the cloud would give them". Of `samples` hard samples in `scenes` sequences of
    near-duplicates, made from held-out pictures, `reused_share` took an earlier answer there and `changed_share` got
    another class by it. It is no part of the network id.
    """

    distance_bits: int = Field(ge=0)
    alpha: float = Field(gt=0, lt=1)
    delta: float = Field(gt=0, lt=1)
    scenes: int = Field(ge=1)
    samples: int = Field(ge=1)
    reused_share: float = Field(ge=0, le=1)
    changed_share: float = Field(ge=0, le=1)
