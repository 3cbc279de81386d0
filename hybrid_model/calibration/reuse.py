"""At which distance of their features one sample's answer may serve another: tested on sequences of near-duplicates.

Scenes are held-out pictures whose samples rise at the working point, one after the other as if a camera saw them in
turn, each as a sequence of near-duplicates. Along it an answer is taken again where the features of a hard sample
differ in at most d bits from those of the last that rose. A scene's loss is the share of its hard samples that get
another class than the cloud half gives them. Scenes are independent, so fixed-sequence testing (`learn_then_test`) with
the p-values of Hoeffding and Bentkus says which d keep the mean loss at `ALPHA`: Bates et al. 2021, arXiv 2101.02703,
section 3.1. No label takes part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, Reuse
from hybrid_model.calibration.learn_then_test import binomial_p_value, walked
from hybrid_model.calibration.near_duplicates import near_duplicates
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.cut import differing_bits
from hybrid_model.runtime import EdgeEngine

__all__ = ["ALPHA", "DELTA", "Scene", "fit_reuse", "hoeffding_bentkus", "replayed"]

#: Share of a scene's answers that may change, and the level of the test.
ALPHA, DELTA = 0.05, 0.05
_SCENES_MAX = 300
#: With fewer, not even a distance that changes nothing passes.
_SCENES_MIN = math.ceil(math.log(DELTA) / math.log1p(-ALPHA))
_FRAMES = 8
_DISTANCES = 96
_BATCH = 250


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene's hard samples in order: their features, and the cloud half's class of each."""

    features: Sequence[bytes]
    classes: Sequence[int]


def fit_reuse(bundle: Bundle, x: npt.NDArray[Any]) -> Reuse | None:
    """The distance for `bundle` (with its cloud tensors), from held-out pictures x (N, H, W, C) uint8.

    None where the network takes no pictures, too few of these rise, or no distance passes.
    """
    if x.dtype != np.uint8 or bundle.manifest.calibration is None:
        return None
    found = _scenes(bundle, x)
    if len(found) < _SCENES_MIN:
        return None
    bits = 8 * bundle.manifest.cut.bytes
    distances = np.unique(np.linspace(0, bits // 4, _DISTANCES).astype(np.int64)).tolist()
    runs = []

    def p_value(distance: int) -> float:
        reused, changed = replayed(found, distance)
        runs.append((reused, changed))
        losses = [changed[n] / len(scene.features) for n, scene in enumerate(found)]
        return hoeffding_bentkus(float(np.mean(losses)), len(losses), ALPHA)

    p_values = walked((p_value(distance) for distance in distances), DELTA)
    passed = sum(p <= DELTA for p in p_values)
    if not passed:
        return None
    reused, changed = runs[passed - 1]
    samples = sum(len(scene.features) for scene in found)
    return Reuse(
        distance_bits=int(distances[passed - 1]),
        alpha=ALPHA,
        delta=DELTA,
        scenes=len(found),
        samples=samples,
        reused_share=sum(reused) / samples,
        changed_share=sum(changed) / samples,
    )


def replayed(scenes: Sequence[Scene], distance_bits: int) -> tuple[list[int], list[int]]:
    """Of each scene, how many samples took an earlier answer, and how many of these another class than their own."""
    reused, changed = [0] * len(scenes), [0] * len(scenes)
    last: tuple[bytes, int] | None = None
    for number, scene in enumerate(scenes):
        for features, own in zip(scene.features, scene.classes, strict=True):
            if last is not None and differing_bits(last[0], features) <= distance_bits:
                reused[number] += 1
                changed[number] += last[1] != own
            else:
                last = (features, own)
    return reused, changed


def hoeffding_bentkus(mean: float, count: int, alpha: float) -> float:
    """A p-value of "the mean of losses within 0..1 is above `alpha`", from the mean of `count` independent ones.

    The lesser of Hoeffding's exp(-n h(min(m, a), a)), h(p, q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)), and
    Bentkus' e P(Binomial(n, a) <= ceil(n m)).
    """
    low = min(mean, alpha)
    divergence = (0.0 if low == 0.0 else low * math.log(low / alpha)) + (1 - low) * math.log((1 - low) / (1 - alpha))
    bentkus = math.e * binomial_p_value(min(count, math.ceil(count * mean)), count, alpha)
    return min(1.0, math.exp(-count * divergence), bentkus)


def _scenes(bundle: Bundle, x: npt.NDArray[np.uint8]) -> list[Scene]:
    engine, cloud = EdgeEngine(bundle), CloudHalf(bundle)
    generator = np.random.default_rng(0)
    found: list[Scene] = []
    for start in range(0, len(x), _BATCH):
        batch = x[start : start + _BATCH]
        hard = np.flatnonzero(engine.infer(batch).exit_index < 0)[: _SCENES_MAX - len(found)]
        for row in hard:
            frames = near_duplicates(batch[row], _FRAMES, generator)
            result = engine.infer(frames)
            features = [result.features[frame] for frame in np.flatnonzero(result.exit_index < 0)]
            rising = [each for each in features if each is not None]
            if rising:
                found.append(Scene(rising, cloud.logits(rising).argmax(1).tolist()))
        if len(found) == _SCENES_MAX:
            break
    return found
