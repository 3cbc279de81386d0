"""The last minutes as four charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import Text, box, panel
from services.console.page.style import BASELINE, CLOUD, EDGE, GRID
from services.console.state.history import MINUTES, Point

__all__ = ["HistoryCharts"]


@dataclass(frozen=True)
class _Line:
    """One line: its name, its colour, and what it shows of a point."""

    name: str
    colour: str
    value: Callable[[Point], float | None]
    dashed: bool = False
    area: bool = False


_DECADE_BELOW: Final = "range => Math.pow(10, Math.floor(Math.log10(Math.max(range.min, 0.01))))"


def _latency(path: str, share: float) -> Callable[[Point], float | None]:
    return lambda point: point.latency_ms.get((path, share))


_CHARTS: Sequence[tuple[str, str, str, dict[str, Any], tuple[_Line, ...]]] = (
    ("Answered at the edge", "% of final labels, 10 s", "%", {"min": 0, "max": 100, "interval": 25}, (
        _Line("edge", EDGE, lambda p: None if p.edge_share is None else 100 * p.edge_share, area=True),
    )),
    ("Energy per sample", "µJ of computing, estimated", "µJ", {"min": 0}, (
        _Line("all-cloud, full precision", BASELINE,
              lambda p: None if p.baseline_j is None else 1e6 * p.baseline_j, dashed=True),
        _Line("spent", EDGE, lambda p: None if p.energy_j is None else 1e6 * p.energy_j),
    )),
    ("Waiting for the cloud", "escalations in the queue", "", {"min": 0, "minInterval": 1}, (
        _Line("queue", CLOUD, lambda p: p.queue, area=True),
    )),
    ("Latency", "ms from receipt to final label, 30 s", "ms", {"type": "log", ":min": _DECADE_BELOW}, (
        _Line("edge p50", EDGE, _latency("edge", 0.5)),
        _Line("edge p99", EDGE, _latency("edge", 0.99), dashed=True),
        _Line("cloud p50", CLOUD, _latency("cloud", 0.5)),
        _Line("cloud p99", CLOUD, _latency("cloud", 0.99), dashed=True),
    )),
)  # fmt: skip


class HistoryCharts:
    """Built within a page; `refresh` each second, drawn anew where there is a new point."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._drawn_at = desk, 0.0
        self._charts: list[tuple[ui.echart, tuple[_Line, ...]]] = []
        for title, note, unit, axis, lines in _CHARTS:
            with panel(title, "quarter", note=note):
                chart = ui.echart(_options(lines, axis, unit), renderer="svg").classes("chart")
                chart.props["role"] = "img"
                chart.props["aria-label"] = f"{title}, {note}, the last {MINUTES} minutes"
                if len(lines) > 1:
                    with box("div", "legend"):
                        for line in lines:
                            Text("span", line.name, "dashed" if line.dashed else "").style(f"--key: {line.colour}")
                self._charts.append((chart, lines))

    def refresh(self) -> None:
        """Draw what is new."""
        points = self._desk.state.snapshot.points
        if not points or points[-1].at == self._drawn_at:
            return
        self._drawn_at = points[-1].at
        for chart, lines in self._charts:
            chart.options["xAxis"] |= {"min": (points[-1].at - 60 * MINUTES) * 1000, "max": points[-1].at * 1000}
            young = points[-1].at - points[0].at < 60 * MINUTES * 0.5  # then not squeezed into a corner
            if young:
                chart.options["xAxis"]["min"] = min(points[0].at, points[-1].at - 60) * 1000
            chart.options["xAxis"]["axisLabel"]["formatter"] = "{HH}:{mm}:{ss}" if young else "{HH}:{mm}"
            for series, line in zip(chart.options["series"], lines, strict=True):
                series["data"] = [[round(point.at * 1000), _rounded(line.value(point))] for point in points]
            chart.update()


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _options(lines: Sequence[_Line], axis: dict[str, Any], unit: str) -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 8, "right": 24, "top": 10, "bottom": 4, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "className": "chart-tip",
            "confine": True,
            ":valueFormatter": f"value => value == null ? '–' : value + '{f' {unit}' if unit else ''}'",
        },
        "xAxis": {
            "type": "time",
            "splitNumber": 2,
            "axisLine": {"lineStyle": {"color": GRID}},
            "axisTick": {"show": False},
            "axisLabel": {"fontSize": 11, "hideOverlap": True, "formatter": "{HH}:{mm}"},
        },
        "yAxis": {
            "type": "value",
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": GRID}},
            "axisLabel": {"fontSize": 11, "hideOverlap": True},
            **axis,
        },
        "series": [
            {
                "name": line.name,
                "type": "line",
                "showSymbol": False,
                "data": [],
                "lineStyle": {"width": 1.8, "type": "dashed" if line.dashed else "solid"},
                "itemStyle": {"color": line.colour},
                **({"areaStyle": {"opacity": 0.12}} if line.area else {}),
            }
            for line in lines
        ],
    }
