"""What other thresholds would do: edge share against estimated agreement with the cloud, along a bundle's path.

From samples of which both the scores at every exit and the cloud's answer are known: all that were escalated, and of
those that left the audited ones, a random share. Each stands for 1 / (its chance to be seen) samples (Horvitz and
Thompson 1952).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model import exits
from hybrid_model.bundle import Calibration

POINTS_MAX: Final = 64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class PathWeights:
    """Weights of some samples.

    `total`: of all of them. By point, (P,) float64: `left` of those that would leave, `agreed` of those of them whose
    class at their exit is the cloud's.
    """

    total: float
    left: Floats
    agreed: Floats


class WhatIfPath:
    """The points of a bundle's path, and what samples would do at each. At most `POINTS_MAX` of them are taken.

    Attributes:
        points: Numbers of the points on the path, ascending: P of them; the working point is one.
    """

    def __init__(self, calibration: Calibration) -> None:
        length = len(calibration.path)
        spread = np.linspace(0, length - 1, min(length, POINTS_MAX - 1)).round().astype(int).tolist()
        self.points: tuple[int, ...] = tuple(sorted({*spread, calibration.point}))
        self._thresholds = np.array([calibration.path[number].thresholds for number in self.points])
        self._kind = calibration.score

    @property
    def exits(self) -> int:
        """Number of exits, E."""
        return int(self._thresholds.shape[1])

    def weigh(
        self,
        scores: npt.NDArray[np.floating[Any]],
        classes: npt.NDArray[np.integer[Any]],
        cloud_class: npt.NDArray[np.integer[Any]],
        weights: Floats,
        in_domain: npt.NDArray[np.bool_] | None = None,
    ) -> PathWeights:
        """What these samples add: scores and classes (N, E) at every exit, NaN for a score that there is none of.

        in_domain (N, E): where the guards take samples in, the others leave at no threshold; None: everywhere.

        Scores are those that edges report, float32: a sample within that of a threshold may fall on its other side.
        """
        leaves = exits.leaves(scores[:, np.newaxis, :], self._thresholds[np.newaxis, :, :], self._kind)  # (N, P, E)
        if in_domain is not None:
            leaves &= in_domain[:, np.newaxis, :]
        left = leaves.any(axis=2)
        agrees = classes == cloud_class[:, np.newaxis]
        agreed = left & np.take_along_axis(agrees, leaves.argmax(axis=2), axis=1)
        return PathWeights(float(weights.sum()), weights @ left, weights @ agreed)


@dataclass(frozen=True, slots=True)
class WhatIfPoint:
    """What is estimated for one point of the path.

    `edge_share`: of all samples, those that would leave. `agreement`: of all samples, those whose label would be the
    cloud's (what is escalated always is). `edge_agreement`: of those that would leave; None where none would.
    """

    point: int
    edge_share: float
    agreement: float
    edge_agreement: float | None


def what_if_curve(total: float, left: Mapping[int, float], agreed: Mapping[int, float]) -> tuple[WhatIfPoint, ...]:
    """The curve from weights by point, as cloud workers count them; `total` is of all samples. Empty without samples.

    Points that only one of the two knows are left out.
    """
    if total <= 0:
        return ()
    return tuple(
        WhatIfPoint(
            point=point,
            edge_share=min(1.0, left[point] / total),
            agreement=max(0.0, 1.0 - (left[point] - agreed[point]) / total),
            edge_agreement=agreed[point] / left[point] if left[point] else None,
        )
        for point in sorted(left.keys() & agreed.keys())
    )
