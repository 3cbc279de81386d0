"""Figures and mistakes -> the page. Names of classes and files are escaped: whoever made them may wish for anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hybrid_model.data.own import OwnData
from hybrid_model.report.charts import accuracy_chart, curve_chart, loss_chart
from hybrid_model.report.thumbnail import CHANNELS_MAX, picture_url, scales_of, window_chart
from hybrid_model.report.wrong import Mistake

__all__ = ["render"]

#: Classes up to which the confusion matrix has names and numbers; beyond, it is a picture of shades.
NAMED_CLASSES_MAX: Final = 20
#: Files left out that the page names; the figures have all of them.
LEFT_OUT_MAX: Final = 50


def render(figures: Mapping[str, Any], own: OwnData, mistakes: Sequence[Mistake]) -> str:
    """The page as HTML."""
    history = figures["training"]["history"]
    environment = Environment(
        loader=PackageLoader("hybrid_model.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "span": span,
        "count": lambda value: f"{value:,.0f}",
        "joules": joules,
        "bytes": byte_count,
        "rate": rate,
        "duration": duration,
    }
    style = environment.get_template("report.css").render()
    return environment.get_template("report.html").render(
        figures=figures,
        style=Markup(style),
        today=dt.datetime.now(dt.UTC).date().isoformat(),
        charts=[loss_chart(history), accuracy_chart(history)] if history else [],
        curve=None if figures["curve"] is None else curve_chart(figures["curve"]),
        pictures=_pictures(own, mistakes),
        channels=_channels(own)[:CHANNELS_MAX] if own.dataset.kind == "sensor" else [],
        channels_left_out=max(0, len(_channels(own)) - CHANNELS_MAX) if own.dataset.kind == "sensor" else 0,
        shades=_shades(figures["confusion"]),
        named=len(figures["confusion"]) <= NAMED_CLASSES_MAX,
        left_out_max=LEFT_OUT_MAX,
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share for people; a dash where there is none."""
    return "–" if share is None else f"{100.0 * share:.{digits}f} %"


def span(interval: Sequence[float] | None) -> str:
    """An interval of shares."""
    return "" if interval is None else f"{100.0 * interval[0]:.1f} to {100.0 * interval[1]:.1f} %"


def joules(value: float) -> str:
    """Joules with three digits and a prefix."""
    return _prefixed(value, "J")


def byte_count(value: float) -> str:
    """Bytes, or kB and MB of 1,000 and 1,000,000."""
    return f"{value:,.0f} B" if value < 10_000 else _prefixed(value, "B")


def rate(value: float) -> str:
    """A number of samples a second."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _prefixed(value: float, unit: str) -> str:
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")):
        if abs(value) >= 0.9995 * factor:
            scaled = value / factor
            places = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:,.{places}f} {prefix}{unit}"
    return f"{value:.2g} {unit}"


def _pictures(own: OwnData, mistakes: Sequence[Mistake]) -> list[Markup]:
    """What each mistake's sample looks like."""
    if own.dataset.kind == "image":
        return [
            Markup('<img alt="" src="{}">').format(picture_url(own.dataset.split(one.split).x[one.row]))
            for one in mistakes
        ]
    scales, names = scales_of(own.dataset), _channels(own)
    return [window_chart(own.dataset.split(one.split).x[one.row], scales, names) for one in mistakes]


def _channels(own: OwnData) -> list[str]:
    number = own.dataset.train.x.shape[-1]
    return list(own.dataset.channels or (f"channel {index}" for index in range(number)))


def _shades(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Each cell's share of its row."""
    return [[cell / (sum(row) or 1) for cell in row] for row in confusion]
