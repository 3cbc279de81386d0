"""The figures at a glance, since the workers began; each is a counter of theirs, or the quotient of two."""

from __future__ import annotations

from services.console.page.desk import Desk
from services.console.page.elements import Text, box
from services.console.page.wording import NOTHING, count, joules, milliseconds, percent, times

__all__ = ["Tiles"]


class Tiles:
    """Built within a page; `refresh` each second."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._figures: dict[str, tuple[Text, Text]] = {}
        with box("dl", "tiles", label="Figures since the workers began"):
            for name, title in (
                ("finals", "Final labels"),
                ("confident", "Answered at the edge"),
                ("cloud", "Answered in the cloud"),
                ("energy", "Energy per sample (est.)"),
                ("queue", "Waiting for the cloud"),
                ("latency", "Latency p99, 30 s"),
                ("letters", "Dead letters"),
            ):
                with box("div", "tile"):
                    Text("dt", title)
                    figure = Text("dd", NOTHING, "figure", name=name)
                    self._figures[name] = (figure, Text("dd", "", "note", name=f"{name}-note"))

    def refresh(self) -> None:
        """Show the last round of scrapes."""
        snapshot = self._desk.state.snapshot
        found = snapshot.figures
        last = snapshot.points[-1] if snapshot.points else None
        per_sample = found.energy_j / found.samples if found.samples else None
        edge_ms = last.latency_ms.get(("edge", 0.99)) if last else None
        cloud_ms = last.latency_ms.get(("cloud", 0.99)) if last else None
        self._tell("finals", count(found.finals), f"{count(last.labels_per_s)} a second" if last else "")
        limited = f"; {count(found.rate_limited)} rate limited" if found.rate_limited else ""
        self._tell("confident", count(found.confident), f"{percent(found.edge_share)} of all{limited}")
        reused = f"; {count(found.reused)} reused" if found.reused else ""
        corrected = f"{count(found.corrected)} corrected ({percent(found.corrected_share)})"
        self._tell("cloud", count(found.cloud), f"{corrected}{reused}")
        self._tell("energy", joules(per_sample), f"{times(found.reduction)} less than all-cloud")
        self._tell("queue", count(found.queue), f"oldest {found.queue_age_s:.1f} s" if found.queue else "nothing waits")
        self._tell("latency", milliseconds(edge_ms), f"edge; cloud {milliseconds(cloud_ms)}")
        self._tell("letters", count(found.dead_letters), f"{count(found.dropped)} messages dropped")

    def _tell(self, name: str, figure: str, note: str) -> None:
        self._figures[name][0].text, self._figures[name][1].text = figure, note
