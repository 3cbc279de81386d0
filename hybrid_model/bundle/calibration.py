"""How a bundle's exits were calibrated: the part `calibration` of the manifest. It is not part of the network id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hybrid_model.exits import ScoreKind

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
_ROUNDING = 1e-9


class Part(BaseModel):
    """A part of the manifest: no unknown fields, no changes, every number finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class TuningSplit(Part):
    """The split from which temperatures, path, start and (by share or budget) the working point come."""

    samples: int = Field(ge=1)
    fingerprint: Fingerprint


class CalibrationSplit(Part):
    """The split of the test. `samples` were tested; `note`: why they are not all, or not independent."""

    samples: int = Field(ge=1)
    fingerprint: Fingerprint
    independent: bool
    note: str = ""


class PathPoint(Part):
    """One vector of thresholds, its figures on the tuning split, and its p-value on the calibration split.

    `error_rate`: per exit, errors among the samples that leave there; null where none leaves. `p_value`: the largest of
    its exits'; null where it was not tested.
    """

    thresholds: tuple[float, ...]
    edge_share: Share
    exit_share: tuple[Share, ...]
    accuracy: Share
    error_rate: tuple[Share | None, ...]
    p_value: Share | None = None


class Histogram(Part):
    """Scores at one exit in bins [a, b), the last one closed."""

    edges: tuple[float, ...] = Field(min_length=2, max_length=1001)
    counts: tuple[Annotated[int, Field(ge=0)], ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.counts) != len(self.edges) - 1:
            raise ValueError(f"{len(self.edges)} edges bound {len(self.edges) - 1} bins, not {len(self.counts)}")
        if any(left >= right for left, right in pairwise(self.edges)):
            raise ValueError("the edges of a histogram ascend")
        return self


class Calibration(Part):
    """Temperatures and thresholds: where they come from, and what was tested.

    `path` leads from thresholds at which nobody leaves (point 0) to those at which nearly everybody does; no exit gets
    stricter along it. The points `start` to `passed` hold: with probability 1 - delta over the draw of the calibration
    split each exit's error rate is at most alpha in all of them (arXiv 2110.01052). `start` is null where no point has
    samples enough for a test, `passed` where the first failed. `point` is the working point, whose thresholds the exits
    have; it was `chosen_by` an edge share, a budget of accuracy lost, or as the loosest that passed (the guarantee
    alpha; point 0 where none passed). `accuracy_cloud`: tuning split, every sample answered by the cloud half.
    `histogram`: per exit the score of every tested sample, as if none had left before. `guard_share_lost`: what was
    asked for of the guards, 0 for none; null in files written before there were guards. All shares, rates and p-values
    are of what really leaves, by scores and guards.
    """

    score: ScoreKind
    fit_temperature: bool
    tuning: TuningSplit
    calibration: CalibrationSplit
    path: tuple[PathPoint, ...] = Field(min_length=1, max_length=1000)
    start: int | None = Field(ge=0)
    passed: int | None = Field(ge=0)
    alpha: Rate
    delta: Rate
    point: int = Field(ge=0)
    chosen_by: dict[Literal["edge_share", "accuracy_budget", "guarantee"], Share] = Field(min_length=1, max_length=1)
    accuracy_cloud: Share
    histogram: tuple[Histogram, ...]
    guard_share_lost: Annotated[float, Field(ge=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        exit_count = len(self.path[0].thresholds)
        for number, point in enumerate(self.path):
            if not len(point.thresholds) == len(point.exit_share) == len(point.error_rate) == exit_count:
                raise ValueError(f"point {number} of the path is not of {exit_count} exits")
            if abs(sum(point.exit_share) - point.edge_share) > _ROUNDING:
                raise ValueError(f"the shares of point {number} do not sum to its edge share")
        for number, (strict, loose) in enumerate(pairwise(self.path)):
            if not self._looser(strict.thresholds, loose.thresholds):
                raise ValueError(f"point {number + 1} of the path is not looser than the one before")
        if self.point >= len(self.path):
            raise ValueError(f"the working point {self.point} is not on the path of {len(self.path)} points")
        self._check_test()
        if len(self.histogram) != exit_count:
            raise ValueError(f"{len(self.histogram)} histograms for {exit_count} exits")
        if any(sum(bins.counts) != self.calibration.samples for bins in self.histogram):
            raise ValueError("a histogram does not count every calibration sample once")
        return self

    @property
    def guaranteed(self) -> bool:
        """Whether the working point is one that passed."""
        return self.start is not None and self.passed is not None and self.start <= self.point <= self.passed

    def _looser(self, strict: Sequence[float], loose: Sequence[float]) -> bool:
        sign = 1.0 if self.score == "entropy" else -1.0
        steps = [sign * (after - before) for before, after in zip(strict, loose, strict=True)]
        return min(steps) >= 0.0 and max(steps) > 0.0

    def _check_test(self) -> None:
        """p-values stand at the points from the start to the first that failed, at most delta up to `passed`."""
        if self.start is None:
            if self.passed is not None:
                raise ValueError("points cannot have passed without a start")
            tested: range = range(0)
        else:
            if not self.start <= (self.start if self.passed is None else self.passed) < len(self.path):
                raise ValueError(f"{self.start} to {self.passed} are not points of the path, in order")
            last = self.start - 1 if self.passed is None else self.passed
            tested = range(self.start, min(last + 2, len(self.path)))
            for number in tested:
                p_value = self.path[number].p_value
                if p_value is None or (p_value <= self.delta) != (number <= last):
                    raise ValueError(f"the p-value of point {number} does not go with what passed")
        if any(point.p_value is not None for number, point in enumerate(self.path) if number not in tested):
            raise ValueError("a p-value stands at a point that was not tested")
