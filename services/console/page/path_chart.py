"""Edge share against accuracy along the bundle's path, with the present position."""

from __future__ import annotations

import math
from typing import Any

from nicegui import ui

from services.console.page.desk import Desk
from services.console.page.elements import Text, box
from services.console.page.style import BASELINE, EDGE, GRID, MARK
from services.console.state.path_curve import PathCurve

__all__ = ["PathChart"]


class PathChart:
    """Built within a panel; `refresh` each second."""

    def __init__(self, desk: Desk, curve: PathCurve) -> None:
        self._desk, self._curve = desk, curve
        self._shown: object = None
        self._chart = ui.echart(_options(curve), renderer="svg").classes("chart tall")
        self._chart.props["role"] = "img"
        self._chart.props["aria-label"] = "Edge share against accuracy along the path of thresholds"
        with box("div", "legend"):
            Text("span", "calibrated: accuracy, tuning split", "dashed").style(f"--key: {BASELINE}")
            Text("span", "passed calibration").style(f"--key: {BASELINE}")
            self._live = Text("span", "live: agreement with the cloud").style(f"--key: {EDGE}")
            Text("span", "now", "dot").style(f"--key: {MARK}")

    def refresh(self) -> None:
        """Draw what has moved."""
        state = self._desk.state
        measured, share, position = state.snapshot.measured, _present_share(self._desk), state.position
        shown = (measured, share, position)
        if shown == self._shown:
            return
        self._shown = shown
        live = [[100 * point.edge_share, round(100 * point.agreement, 2)] for point in measured]
        self._live.set_visibility(bool(live))
        series = self._chart.options["series"]
        series[2]["data"] = live
        least = min(100 * min(self._curve.accuracy), *(height for _, height in live), 99.0)
        step = 5 if least >= 75 else 25
        self._chart.options["yAxis"] |= {"min": step * math.floor(least / step), "interval": step}
        if position is None and share is not None:
            series[3]["data"] = [[100 * share, None]]
        elif position is not None:
            calibrated_share, accuracy = self._curve.at(position)
            series[3]["data"] = [[round(100 * calibrated_share, 2), round(100 * accuracy, 2)]]
        self._chart.update()


def _present_share(desk: Desk) -> float | None:
    points = desk.state.snapshot.points
    return points[-1].edge_share if points else None


def _options(curve: PathCurve) -> dict[str, Any]:
    path = [[round(100 * s, 2), round(100 * a, 2)] for s, a in zip(curve.edge_share, curve.accuracy, strict=True)]
    low, high = curve.passed or (0, -1)

    def line(name: str, colour: str, data: list[list[float]], **more: Any) -> dict[str, Any]:
        return {
            "name": name, "type": "line", "showSymbol": False, "data": data,
            "itemStyle": {"color": colour}, "lineStyle": {"width": 2, "color": colour}, **more,
        }  # fmt: skip

    axis = {
        "type": "value",
        "scale": True,
        "splitNumber": 4,
        "splitLine": {"lineStyle": {"color": GRID}},
        "axisLabel": {"fontSize": 11, "formatter": "{value} %", "hideOverlap": True},
        "nameTextStyle": {"fontSize": 11},
    }
    return {
        "animation": False,
        "grid": {"left": 8, "right": 18, "top": 12, "bottom": 22, "containLabel": True},
        "tooltip": {"trigger": "item", "className": "chart-tip", "confine": True},
        "xAxis": {
            **axis,
            "name": "answered at the edge",
            "nameLocation": "middle",
            "nameGap": 24,
            "min": 0,
            "max": 100,
            "interval": 25,
        },
        "yAxis": {**axis, "max": 100},
        "series": [
            line("calibrated", BASELINE, path, lineStyle={"width": 1.5, "type": "dashed", "color": BASELINE}),
            line("passed calibration", BASELINE, path[low : high + 1], lineStyle={"width": 4, "color": BASELINE}),
            line("live", EDGE, []),
            {"name": "now", "type": "scatter", "symbolSize": 13, "data": [], "itemStyle": {"color": MARK}, "z": 5},
        ],
    }
