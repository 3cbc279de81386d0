"""A dashboard in the making: panels of a few kinds, laid out in the order in which they are added."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries, xychart
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode
from grafana_foundation_sdk.models.xychart import SeriesMapping, XYShowMode

__all__ = ["Board", "Query", "every_edge", "every_network", "networks_of_edges"]

_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="prometheus")
_EDGES: Final = 'dewpoint_worker_info{role="edge",site=~"$site",bundle=~"$bundle"}'
_WIDTH: Final = 24
_VARIABLES: Final = {
    "site": ("Site", 'label_values(dewpoint_worker_info{role="edge"}, site)'),
    "bundle": ("Bundle", 'label_values(dewpoint_worker_info{role="edge",site=~"$site"}, bundle)'),
    "device": ("Device", "label_values(dewpoint_samples_received_total, device)"),
}
P = TypeVar("P", timeseries.Panel, stats.Panel, tables.Panel, xychart.Panel)


def every_edge(expression: str) -> str:
    """Of series that edge workers show: those of the chosen sites and bundles."""
    return f"({expression} and on (job, instance) {_EDGES})"


def networks_of_edges(expression: str) -> str:
    """Of series with a label `network`: those of networks that the chosen edge workers use."""
    return f"({expression} and on (network) (dewpoint_network_info and on (job, instance) {_EDGES}))"


def every_network(expression: str) -> str:
    """Of series that edge workers show of each network: those of the chosen sites and bundles, by name of bundle."""
    return every_edge(f"{expression} * on (job, instance, network) group_left (bundle) dewpoint_network_info")


@dataclass(frozen=True)
class Query:
    """A line, or a column of a table. `legend`: as Grafana fills it, `{{label}}`; `unit`: of a column, if its own."""

    expression: str
    legend: str = "__auto"
    unit: str | None = None


class Board:
    """One dashboard.

    Args:
        name: Of its file, and of its address in Grafana.
        title: What people read.
        description: A sentence.
    """

    def __init__(self, name: str, title: str, description: str) -> None:
        self.name = name
        self._panels = 0
        self._x = self._y = self._row_height = 0
        self._built = (
            dashboard.Dashboard(title)
            .uid(f"dewpoint-{name}")
            .description(description)
            .tags(["dewpoint"])
            .readonly()
            .timezone("browser")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .time("now-15m", "now")
            .refresh("10s")
            .version(1)
            .link(
                dashboard.DashboardLink("Dewpoint")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags(["dewpoint"])
                .include_vars(True)
                .keep_time(True)
            )
        )
        for variable, (label, query) in _VARIABLES.items():
            self._built.with_variable(_variable(variable, label, query))

    def row(self, title: str) -> None:
        """Begin a row of panels under a heading."""
        self._next_line()
        place = models.GridPos(x=0, y=self._y, w=_WIDTH, h=1)
        self._built.with_row(dashboard.Row(title).id(self._number()).grid_pos(place))
        self._y += 1

    def stat(
        self, title: str, description: str, query: str, unit: str, *, width: int = 4, decimals: int | None = None
    ) -> None:
        """One number, and its course behind it."""
        panel = (
            stats.Panel()
            .unit(unit)
            .with_target(_target(Query(query)))
            .graph_mode(kinds.BigValueGraphMode.AREA)
            .color_mode(kinds.BigValueColorMode.VALUE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color("blue"))
        )
        if decimals is not None:
            panel.decimals(decimals)
        self._add(panel, title, description, width, height=4)

    def graph(
        self,
        title: str,
        description: str,
        unit: str,
        *queries: Query,
        width: int = 8,
        maximum: float | None = None,
        exemplars: bool = False,
        stacked: bool = False,
    ) -> None:
        """Lines over time. `exemplars`: with the traces that Prometheus has kept."""
        panel = (
            timeseries.Panel()
            .unit(unit)
            .min(0)
            .fill_opacity(20 if stacked else 0)
            .show_points(kinds.VisibilityMode.NEVER)
            .stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL if stacked else kinds.StackingMode.NONE))
            .legend(
                common.VizLegendOptions()
                .display_mode(kinds.LegendDisplayMode.LIST)
                .placement(kinds.LegendPlacement.BOTTOM)
                .show_legend(True)
                .calcs([])
            )
            .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
        )
        if maximum is not None:
            panel.max(maximum)
        for number, query in enumerate(queries):
            panel.with_target(_target(query, number).exemplar(exemplars))
        self._add(panel, title, description, width, height=7)

    def table(self, title: str, description: str, unit: str, *queries: Query, by: str, width: int = 8) -> None:
        """A row for every value of the label `by`, a column for every query, as they are now."""
        panel = tables.Panel().unit(unit).show_header(True)
        for number, query in enumerate(queries):
            panel.with_target(_now(query, number))
            if query.unit is not None:
                panel.override_by_name(query.legend, [models.DynamicConfigValue("unit", query.unit)])
        self._joined(panel, queries, by)
        self._add(panel, title, description, width, height=7)

    def curve(self, title: str, description: str, across: Query, up: Query, *, by: str, width: int = 12) -> None:
        """One query against another, both shares: a point for every value of the label `by`."""
        names = {
            "x": xychart.MatcherConfig().id("byName").options(across.legend),
            "y": xychart.MatcherConfig().id("byName").options(up.legend),
        }
        panel = (
            xychart.Panel()
            .unit("percentunit")
            .show(XYShowMode.POINTS)
            .mapping(SeriesMapping.MANUAL)
            .series(
                [
                    xychart.XYSeriesConfig()
                    .x(xychart.XychartXYSeriesConfigX().matcher(names["x"]))
                    .y(xychart.XychartXYSeriesConfigY().matcher(names["y"]))
                ]
            )
            .legend(common.VizLegendOptions().show_legend(False).display_mode(kinds.LegendDisplayMode.LIST))
        )
        for number, query in enumerate((across, up)):
            panel.with_target(_now(query, number))
        self._joined(panel, (across, up), by)
        self._add(panel, title, description, width, height=9)

    def text(self) -> str:
        """The JSON that Grafana reads."""
        return json.dumps(self._built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"

    def _joined(self, panel: tables.Panel | xychart.Panel, queries: Sequence[Query], by: str) -> None:
        renamed = {f"Value #{_letter(number)}": query.legend for number, query in enumerate(queries)}
        if len(queries) == 1:
            renamed = {"Value": queries[0].legend}
        times = {"Time": True} | {f"Time {number + 1}": True for number in range(len(queries))}
        panel.with_transformation(models.DataTransformerConfig("joinByField", options={"byField": by, "mode": "outer"}))
        panel.with_transformation(
            models.DataTransformerConfig("organize", options={"excludeByName": times, "renameByName": renamed})
        )

    def _add(self, panel: P, title: str, description: str, width: int, *, height: int) -> None:
        if self._x + width > _WIDTH:
            self._next_line()
        place = models.GridPos(x=self._x, y=self._y, w=width, h=height)
        panel.id(self._number()).title(title).description(description).datasource(_SOURCE).grid_pos(place)
        self._built.with_panel(panel)
        self._x += width
        self._row_height = max(self._row_height, height)

    def _next_line(self) -> None:
        self._y += self._row_height
        self._x = self._row_height = 0

    def _number(self) -> int:
        self._panels += 1
        return self._panels


def _letter(number: int) -> str:
    return "ABCDEFGH"[number]


def _target(query: Query, number: int = 0) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(_letter(number))
        .datasource(_SOURCE)
        .editor_mode(QueryEditorMode.CODE)
        .expr(query.expression)
        .legend_format(query.legend)
        .range()
    )


def _now(query: Query, number: int) -> prometheus.Dataquery:
    return _target(query, number).instant().format(PromQueryFormat.TABLE)


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query({"query": query, "refId": name, "qryType": 1})
        .datasource(_SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
