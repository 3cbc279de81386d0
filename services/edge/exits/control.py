"""Exit control: by which thresholds each sample is decided, and what moves them.

Counts, sums and latencies go in; no label ever takes part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult, Engine
from services.budgets import Tally
from services.common.logs import SparseLog, get_logger
from services.control import PERIOD_S, Controller, ExitPath, Latencies, Overload, SetPointError, check, mixed
from services.edge.errors import EdgeError
from services.edge.exits.beginnings import costs, decoded, pinned, wanted
from services.edge.exits.gauges import ControlGauges
from services.edge.exits.mixing import decide
from services.messages import Control, MessageError
from services.metrics import EdgeMetrics
from services.settings import EdgeSettings

__all__ = ["ExitControl"]

_ERROR_CHARS_MAX: Final = 300
#: After a session was lost at the broker, how long its retained set-point may take to come again.
_SESSION_LOST_S: Final = 3.0


class ExitControl:
    """Runs the edge engine at the thresholds in force, and moves those once a second so that a budget is kept.

    `infer`, `spared`, `decided_on_edge` and `tick` are for the worker's thread, the rest is for any.

    Args:
        settings: What holds as long as no set-point came; whether the exits are guarded, whatever comes.
        manifest: The bundle's, with its calibrated path.
        engine: Its edge half.
        metrics: What is shown of it.
        clock: Monotonic seconds.
        random: Which samples of a batch go by the point above the position.

    Raises:
        EdgeError: where the bundle cannot follow the settings.
    """

    def __init__(
        self,
        *,
        settings: EdgeSettings,
        manifest: Manifest,
        engine: Engine,
        metrics: EdgeMetrics,
        clock: Callable[[], float] = time.monotonic,
        random: np.random.Generator | None = None,
    ) -> None:
        self._settings, self._engine, self._clock = settings.control, engine, clock
        self._guard, self._probabilities = settings.guard, settings.label_top > 0
        self._random = np.random.default_rng() if random is None else random
        self._pinned = pinned(settings, manifest)
        self._own = tuple(one.threshold for one in manifest.exits) if self._pinned is None else self._pinned
        calibration = manifest.calibration if self._pinned is None else None
        self._path = None if calibration is None else ExitPath(calibration)
        self._costs = costs(manifest)
        self._cut_j, self._features_bytes = energy.path_energy_j(manifest.layers, "cut"), manifest.cut.bytes
        self._gauges = ControlGauges(metrics, manifest.network_id)
        self._set_points = {
            one: metrics.control_set_points.labels(network=manifest.network_id, outcome=one)
            for one in ("accepted", "refused")
        }
        self._latencies, self._overload = Latencies(clock=clock), Overload()
        self._log, self._sparse_log = get_logger("edge"), SparseLog("edge")
        self._lock = threading.Lock()
        self._controller: Controller | None = None
        self._wanted = self._from_settings = wanted(self._settings)
        self._source, self._refused, self._heard, self._cloud_answers = "settings", "", 0, 0
        self._expires_at: float | None = None
        self._heard_here = False
        self._counted = Tally()
        self._in_force: list[tuple[float, ...]] = []
        try:
            self._check(self._wanted)
        except SetPointError as refused:
            raise EdgeError(f"edge.control: {refused}") from None
        self._follow(self._wanted, "settings")
        self._stepped_at = self._ticked_at = clock()
        self._show()

    # What the pipeline asks for

    @property
    def in_force(self) -> Sequence[tuple[float, ...]]:
        """Of each sample of the last batch, the thresholds that it was decided by."""
        return self._in_force

    def infer(self, batch: npt.NDArray[Any]) -> EdgeResult:
        """Decide for a batch (N, H, W, C), as `EdgeEngine.infer` does; between two points each sample is drawn.

        Raises ValueError as it does.
        """
        position, path = self.position, self._path
        if position is None or path is None:
            points = np.zeros(len(batch), dtype=np.int64)
            self._in_force = [self._own] * len(batch)
        else:
            points = mixed(position, len(batch), self._random)
            self._in_force = [path.thresholds(int(point)) for point in points]
        result = decide(
            self._engine, batch, self._in_force, points, guard=self._guard, probabilities=self._probabilities
        )
        self._count(result)
        return result

    def spared(self) -> None:
        """A hard sample of the last batch need not rise: it costs what the edge has computed, and no bytes."""
        self._counted += Tally(
            escalated=-1, feature_bytes=-self._features_bytes, energy_j=self._cut_j - self._costs.cloud_j
        )

    def decided_on_edge(self, latencies_s: Iterable[float]) -> None:
        """The edge gave final labels, so many seconds (monotonic) after their samples came."""
        self._latencies.add(latencies_s)

    def finalised(self, latency_s: float | None, *, by_cloud: bool) -> None:
        """A hard sample has its final label, so many seconds (monotonic) after it came; None where nobody knows."""
        if latency_s is not None:
            self._latencies.add((latency_s,))
        if by_cloud:
            with self._lock:
                self._cloud_answers += 1

    # What an operator asks for

    def set_point(self, payload: bytes) -> None:
        """A message has come on the site's control topic; an empty one returns to the settings."""
        with self._lock:
            self._expires_at, self._heard_here = None, True
            self._heard += 1
            try:
                set_point = self._from_settings if not payload else decoded(payload)
                self._check(set_point)
            except (MessageError, SetPointError) as refused:
                self._refused = str(refused)[:_ERROR_CHARS_MAX]
                self._set_points["refused"].inc()
                self._sparse_log.warning("set_point_refused", reason=str(refused)[:_ERROR_CHARS_MAX])
                return
            self._refused = ""
            self._set_points["accepted"].inc()
            self._follow(set_point, "setpoint" if payload else "settings")
            self._show()

    def session_opened(self, session_present: bool) -> None:
        """The broker is connected. Where it had no session of ours, a set-point that was cleared came to nobody.

        What is retained may have come on this connection already: a broker need not wait until it has told of it.
        """
        with self._lock:
            if not session_present and self._source == "setpoint" and not self._heard_here:
                self._expires_at = self._clock() + _SESSION_LOST_S

    def session_closed(self) -> None:
        """The connection is lost."""
        with self._lock:
            self._heard_here = False

    # What housekeeping asks for

    def tick(self, *, waiting: int, fill: float) -> None:
        """Time has passed: once a second, look at what was counted, and move.

        Args:
            waiting: Hard samples that await the cloud.
            fill: How full the fullest of the queues is before samples are shed, 1 where they are.
        """
        with self._lock:
            now = self._clock()
            self._gauges.outside(0.0 if self._is_calibrated() else now - self._ticked_at)
            self._ticked_at = now
            if self._expires_at is not None and now >= self._expires_at:
                self._expires_at = None
                self._follow(self._from_settings, "settings")
                self._show()
            seconds = now - self._stepped_at
            if seconds < PERIOD_S:
                return
            self._stepped_at = now
            factor = self._overload.factor(fill, seconds)
            step, self._counted = replace(self._counted, seconds=seconds, answered=self._cloud_answers), Tally()
            self._cloud_answers = 0
            p99_s = self._latencies.quantile_s(0.99)
            if self._controller is not None:
                p99_ms = None if p99_s is None else 1000.0 * p99_s
                try:
                    self._controller.step(step, p99_ms=p99_ms, waiting=waiting, factor=factor)
                except Exception as error:  # the exits stay where they stand: no sample waits for a budget
                    self._failed(error)
            self._show()

    @property
    def position(self) -> float | None:
        """Where on the path the exits stand; none where they stand beside it."""
        controller = self._controller
        return None if controller is None else controller.position

    @property
    def heard(self) -> int:
        """Set-points that came since the start, accepted or refused."""
        return self._heard

    def status(self) -> dict[str, Any]:
        """`control` of the worker's status."""
        with self._lock:
            controller, kept = self._controller, self._wanted
            error = None
            if controller is not None and controller.saturated:
                error = f"the budget is not kept: {controller.limit}"
            measured = None if controller is None else controller.measured
            fixed = kept.mode == "fixed"
            position = None if controller is None else round(controller.position, 2)
            return {
                "mode": kept.mode,
                "point": int(position) if fixed and position is not None else None,
                "position": position,
                "budget": kept.to_json()["budget"],
                "measured": None if measured is None else float(f"{measured:.4g}"),
                "source": self._source,
                "calibrated": self._is_calibrated(),
                "refused": self._refused or None,
                "error": error,
                "set_points": self._heard,
            }

    # With the lock held

    def _check(self, set_point: Control) -> None:
        if self._pinned is not None and (set_point.mode == "budget" or set_point.point is not None):
            raise SetPointError("edge.thresholds of the settings pins the thresholds; remove it there")
        check(set_point, self._path, self._costs, allow_uncalibrated=self._settings.allow_uncalibrated)

    def _follow(self, set_point: Control, source: str) -> None:
        self._source = source
        if self._controller is not None and set_point == self._wanted:
            return
        self._wanted, path = set_point, self._path
        if self._controller is not None:  # a worker that does not start tells its reason alone
            budget = set_point.budget
            name, value = (None, None) if budget is None else (budget.name, budget.value)
            self._log.info(
                "exits_controlled",
                mode=set_point.mode,
                point=set_point.point,
                budget=name,
                value=value,
                source=source,
            )
        if path is None:
            return
        here = float(path.working_point) if self._controller is None else self._controller.position
        if set_point.mode == "fixed":
            set_point = replace(set_point, point=path.working_point if set_point.point is None else set_point.point)
            low, high = 0, path.last
        else:
            low, high = path.limits(allow_uncalibrated=self._settings.allow_uncalibrated)
        base = path.working_point if self._settings.point is None else self._settings.point
        self._controller = Controller(
            path=path, set_point=set_point, costs=self._costs, low=low, high=high, base=base, position=here
        )

    def _failed(self, error: Exception) -> None:
        self._sparse_log.warning("control_failed", error=f"{type(error).__name__}: {error}")

    def _is_calibrated(self) -> bool:
        controller, path = self._controller, self._path
        return controller is not None and path is not None and path.is_calibrated(controller.position)

    def _count(self, result: EdgeResult) -> None:
        left = np.bincount(result.exit_index[result.exit_index >= 0], minlength=len(self._costs.exits_j))
        escalated = len(result.exit_index) - int(left.sum())
        self._counted += Tally(
            samples=len(result.exit_index),
            escalated=escalated,
            feature_bytes=sum(len(one) for one in result.features if one is not None),
            energy_j=float(np.dot(left, self._costs.exits_j)) + escalated * self._costs.cloud_j,
        )

    def _show(self) -> None:
        controller, path = self._controller, self._path
        if controller is None or path is None:
            self._gauges.thresholds(self._own)
        else:
            self._gauges.thresholds(path.thresholds(round(controller.position)))
        self._gauges.show(controller, calibrated=self._is_calibrated(), factor=self._overload.value)
