"""All that the page shows, gathered from the broker and from the workers' metrics. No user interface here."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hybrid_model.monitoring import WhatIfPoint
from services.console.collect.device_inputs import DeviceInput
from services.console.collect.increments import Meter
from services.console.collect.scraping import Scrape
from services.console.state.history import History, Point
from services.console.state.path_curve import PathCurve
from services.console.state.recent import DeviceLabels, RecentSamples
from services.console.state.site_figures import DeviceFigures, SiteFigures, device_figures, site_figures
from services.console.state.workers import Acknowledgement, WorkerView, acknowledgement, figure, worker_views
from services.messages import Control, Label, Status

__all__ = ["Snapshot", "State"]

_WORKERS_MAX: Final = 256


@dataclass(frozen=True)
class Snapshot:
    """What the last round of scrapes told.

    Attributes:
        figures: Of the whole site.
        devices: Of each device, by name.
        points: The last minutes.
        measured: The curve of the path as the live audit estimates it; empty where there is none.
        at: When, epoch seconds; None before the first round.
    """

    figures: SiteFigures = field(default_factory=SiteFigures)
    devices: tuple[DeviceFigures, ...] = ()
    points: tuple[Point, ...] = ()
    measured: tuple[WhatIfPoint, ...] = ()
    at: float | None = None


class State:
    """Filled by the feed's and the scraper's threads, read by the pages. Bounded whatever comes.

    Args:
        pictures_kept: Latest samples that are kept.
        curve: The path of the site's bundle; None where there is none.
    """

    def __init__(self, *, pictures_kept: int, curve: PathCurve | None = None) -> None:
        self.curve = curve
        self.recent = RecentSamples(pictures_kept)
        self.device_labels = DeviceLabels()
        self.refused = 0
        self._scrapes: Mapping[str, Scrape] = {}
        self._snapshot = Snapshot()
        self._meter, self._history = Meter(), History()
        self._statuses: dict[str, Status] = {}
        self._control: Control | None = None
        self._heard_before: dict[str, int] | None = None
        self._lock = threading.Lock()

    # From the broker

    def take_label(self, label: Label, *, arrived_at: float) -> None:
        """A label has come, at epoch seconds."""
        if self.recent.take_label(label, arrived_at=arrived_at):
            self.device_labels.take(label)

    def take_input(self, device: str, sample: str, sent: DeviceInput) -> None:
        """A sample has come in."""
        self.recent.take_input((device, sample), sent)

    def has_input(self, device: str, sample: str) -> bool:
        """Whether a sample's input is kept."""
        return self.recent.has_input((device, sample))

    def take_status(self, status: Status) -> None:
        """A worker told its status."""
        with self._lock:
            if status.worker in self._statuses or len(self._statuses) < _WORKERS_MAX:
                self._statuses[status.worker] = status

    def take_control(self, control: Control | None) -> None:
        """The site's retained set-point."""
        with self._lock:
            if control != self._control:
                self._heard_before = None
            self._control = control

    def refuse(self) -> None:
        """Something came that could not be understood."""
        self.refused += 1

    # From the workers' metrics

    def take_scrapes(self, scrapes: Mapping[str, Scrape]) -> None:
        """A round of scrapes is done."""
        pages = tuple(scrape.page for scrape in scrapes.values() if scrape.page is not None)
        totals, at = site_figures(pages), time.time()
        self._history.add(at, self._meter.rises(scrapes), queue=totals.queue)
        measured = () if self.curve is None else self.curve.measured(pages)
        snapshot = Snapshot(totals, tuple(device_figures(pages)), tuple(self._history.points), measured, at)
        with self._lock:
            self._scrapes, self._snapshot = scrapes, snapshot

    # For the page

    @property
    def snapshot(self) -> Snapshot:
        """What the last round told."""
        with self._lock:
            return self._snapshot

    @property
    def workers(self) -> list[WorkerView]:
        """All workers that are known."""
        with self._lock:
            statuses, scrapes = dict(self._statuses), self._scrapes
        return worker_views(statuses, scrapes.values())

    @property
    def control(self) -> Control | None:
        """The site's set-point; None where there is none."""
        with self._lock:
            return self._control

    def sending(self, control: Control | None) -> None:
        """A set-point is about to be sent from here: what workers have told so far is no answer to it."""
        with self._lock:
            self._control = control
            self._heard_before = {
                name: heard
                for name, status in self._statuses.items()
                if status.control is not None and type(heard := status.control.get("set_points")) is int
            }

    @property
    def acknowledgements(self) -> list[Acknowledgement]:
        """What the edge workers make of the set-point; nothing where there is none."""
        with self._lock:
            control, heard = self._control, self._heard_before or {}
        if control is None:
            return []
        edges = [view for view in self.workers if view.role == "edge"]
        return [acknowledgement(view, control, heard_before=heard.get(view.name)) for view in edges]

    @property
    def position(self) -> float | None:
        """Where on the path the edge workers are, in the mean; None where none tells."""
        positions = [
            position
            for view in self.workers
            if view.role == "edge" and view.state == "online" and view.control is not None
            if (position := figure(view.control.get("position"))) is not None
        ]
        return sum(positions) / len(positions) if positions else None
