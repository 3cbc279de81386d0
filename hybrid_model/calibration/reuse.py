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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, Reuse
from hybrid_model.bundle.reuse import ALPHA, DELTA, SCENES_MIN
from hybrid_model.calibration.learn_then_test import binomial_p_value, walked
from hybrid_model.calibration.near_duplicates import near_duplicates
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.cut import differing_bits
from hybrid_model.runtime import EdgeEngine

__all__ = [
    "FRAMES",
    "SCENES_MAX",
    "Replay",
    "Scene",
    "fit_reuse",
    "hoeffding_bentkus",
    "longest_distance",
    "replayed",
    "rising_scenes",
    "walked_distances",
]

#: Frames of a scene.
FRAMES = 8
#: Scenes that calibration makes, at most.
SCENES_MAX = 300
_DISTANCES = 96
_BATCH = 250


@dataclass(frozen=True, slots=True)
class Scene:
    """The hard samples of picture number `picture`, in order: frame number, features, and the cloud half's class."""

    picture: int
    frames: Sequence[int]
    features: Sequence[bytes]
    classes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Replay:
    """Of each scene: how many samples took an earlier answer, how many of these another class than their own, and the
    class that each got.
    """

    reused: list[int]
    changed: list[int]
    classes: list[list[int]]


def fit_reuse(bundle: Bundle, x: npt.NDArray[Any]) -> Reuse | None:
    """The distance for `bundle` (with its cloud tensors), from held-out pictures x (N, H, W, C) uint8.

    None where the network takes no pictures, too few of these rise, or no distance passes.
    """
    if x.dtype != np.uint8 or bundle.manifest.calibration is None:
        return None
    return longest_distance(list(rising_scenes(bundle, x, scenes_max=SCENES_MAX)), walked_distances(bundle))


def longest_distance(scenes: Sequence[Scene], distances: Sequence[int]) -> Reuse | None:
    """The last of ascending `distances`, in bits, up to which all pass on these scenes; none where the first fails."""
    if len(scenes) < SCENES_MIN:
        return None
    replays = []

    def p_value(distance: int) -> float:
        replays.append(replayed(scenes, distance))
        losses = [changed / len(scene.features) for changed, scene in zip(replays[-1].changed, scenes, strict=True)]
        return hoeffding_bentkus(float(np.mean(losses)), len(losses), ALPHA)

    p_values = walked((p_value(distance) for distance in distances), DELTA)
    passed = sum(p <= DELTA for p in p_values)
    if not passed:
        return None
    replay = replays[passed - 1]
    samples = sum(len(scene.features) for scene in scenes)
    return Reuse(
        distance_bits=distances[passed - 1],
        alpha=ALPHA,
        delta=DELTA,
        scenes=len(scenes),
        samples=samples,
        reused_share=sum(replay.reused) / samples,
        changed_share=sum(replay.changed) / samples,
    )


def replayed(scenes: Sequence[Scene], distance_bits: int) -> Replay:
    """The scenes one after the other, an answer taken again within the distance of the last sample that rose."""
    replay = Replay([], [], [])
    last: tuple[bytes, int] | None = None
    for scene in scenes:
        given: list[int] = []
        reused = 0
        for features, own in zip(scene.features, scene.classes, strict=True):
            if last is not None and differing_bits(last[0], features) <= distance_bits:
                reused += 1
            else:
                last = (features, own)
            given.append(last[1])
        replay.reused.append(reused)
        replay.changed.append(sum(one != own for one, own in zip(given, scene.classes, strict=True)))
        replay.classes.append(given)
    return replay


def hoeffding_bentkus(mean: float, count: int, alpha: float) -> float:
    """A p-value of "the mean of losses within 0..1 is above `alpha`", from the mean of `count` independent ones.

    The lesser of Hoeffding's exp(-n h(min(m, a), a)), h(p, q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)), and
    Bentkus' e P(Binomial(n, a) <= ceil(n m)).
    """
    low = min(mean, alpha)
    divergence = (0.0 if low == 0.0 else low * math.log(low / alpha)) + (1 - low) * math.log((1 - low) / (1 - alpha))
    bentkus = math.e * binomial_p_value(min(count, math.ceil(count * mean)), count, alpha)
    return min(1.0, math.exp(-count * divergence), bentkus)


def walked_distances(bundle: Bundle) -> list[int]:
    """The distances that are tried, in bits: from none to a quarter of the features' bits."""
    bits = 8 * bundle.manifest.cut.bytes
    return [int(one) for one in np.unique(np.linspace(0, bits // 4, _DISTANCES).astype(np.int64))]


def rising_scenes(
    bundle: Bundle, x: npt.NDArray[np.uint8], *, scenes_max: int, frames: int = FRAMES
) -> Iterator[Scene]:
    """Scenes of `frames` frames, each from a picture of x (N, H, W, C) uint8 that rises, in their order.

    The same bundle and pictures give the same scenes.
    """
    engine, cloud = EdgeEngine(bundle), CloudHalf(bundle)
    generator = np.random.default_rng(0)
    found = 0
    for start in range(0, len(x), _BATCH):
        batch = x[start : start + _BATCH]
        for row in np.flatnonzero(engine.infer(batch).exit_index < 0)[: scenes_max - found].tolist():
            result = engine.infer(near_duplicates(batch[row], frames, generator))
            hard = np.flatnonzero(result.exit_index < 0).tolist()
            features = [each for frame in hard if (each := result.features[frame]) is not None]
            if features:
                found += 1
                yield Scene(start + row, hard, features, cloud.logits(features).argmax(1).tolist())
        if found == scenes_max:
            return
