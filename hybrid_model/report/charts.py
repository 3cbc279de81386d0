"""The page's charts in SVG, in colours that the page's style chooses for light and dark. Names are escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from hybrid_model.report.axes import HEIGHT, WIDTH, Axis, Frame, round_ticks

__all__ = ["Chart", "accuracy_chart", "curve_chart", "loss_chart"]


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a name, and the class of its line."""

    name: str
    style: str


@dataclass(frozen=True)
class Chart:
    """A drawing and what its lines are."""

    svg: Markup
    keys: tuple[Key, ...]


def loss_chart(history: Sequence[Mapping[str, float]]) -> Chart:
    """The mean training loss of every epoch."""
    epochs = [line["epoch"] for line in history]
    loss = [line["loss"] for line in history]
    frame = Frame(_epochs(epochs), Axis.around(loss, "training loss", least=0.0))
    return Chart(_svg(frame, [_line(frame, epochs, loss, "s1")], "Training loss by epoch"), (Key("loss", "s1"),))


def accuracy_chart(history: Sequence[Mapping[str, float]]) -> Chart:
    """Accuracy on the tuning split after every epoch: of the cloud half and of every exit that was trained."""
    epochs = [line["epoch"] for line in history]
    exits = sorted(key for key in history[-1] if key.startswith("tuning_exit"))
    names = {"tuning_final": "cloud half"} | {key: f"exit {key.removeprefix('tuning_exit')}" for key in exits}
    series = {key: [100.0 * line[key] for line in history] for key in names if all(key in line for line in history)}
    values = [value for line in series.values() for value in line]
    frame = Frame(_epochs(epochs), Axis.around(values, "right on the tuning split, %", least=0.0, most=100.0))
    styles = {key: f"s{1 + number % 6}" for number, key in enumerate(series)}
    drawn = [_line(frame, epochs, line, styles[key]) for key, line in series.items()]
    return Chart(
        _svg(frame, drawn, "Accuracy on the tuning split by epoch"),
        tuple(Key(names[key], styles[key]) for key in series),
    )


def curve_chart(curve: Mapping[str, Any]) -> Chart:
    """Accuracy against edge share along the calibrated path, with the chosen point (`Curve.to_json`)."""
    points = curve["points"]
    shares = [100.0 * one["edge_share"] for one in points]
    accuracy = [100.0 * one["accuracy"] for one in points]
    low, high = ([100.0 * one["accuracy_interval"][side] for one in points] for side in (0, 1))
    twin = curve["accuracy_full_precision_twin"]
    levels = [] if twin is None else [100.0 * twin]
    frame = Frame(
        Axis(0.0, 100.0, "samples that the edge answers, %"),
        Axis.around([*low, *high, *levels], "right, %", least=0.0, most=100.0),
    )
    band = Markup('<polygon class="band" points="{} {}"/>').format(
        frame.path(shares, high), frame.path(shares[::-1], low[::-1])
    )
    drawn = [band, _line(frame, shares, accuracy, "s1")]
    keys = [Key("calibrated path", "s1"), Key("95 % interval", "band")]
    tested = [number for number, one in enumerate(points) if one["passed"]]
    if tested:
        drawn.append(_line(frame, [shares[n] for n in tested], [accuracy[n] for n in tested], "passed"))
        keys.append(Key(f"tested: errors at exits at most {curve['alpha']:.1%}", "passed"))
    if levels:
        drawn.append(_line(frame, [0.0, 100.0], levels * 2, "twin"))
        keys.append(Key(f"full-precision twin, {levels[0]:.1f} %", "twin"))
    for number, one in enumerate(points):
        if one["working"]:
            x, y = frame.at(shares[number], accuracy[number])
            drawn.append(Markup('<path class="point" d="M{} {}l7 7l-7 7l-7 -7z"/>').format(x, round(y - 7, 1)))
            keys.append(Key(f"chosen: {accuracy[number]:.1f} % right at {shares[number]:.1f} %", "point"))
    return Chart(_svg(frame, drawn, "Accuracy against the share that the edge answers"), tuple(keys))


def _epochs(epochs: Sequence[float]) -> Axis:
    return Axis(min(epochs), max(epochs), "epoch") if len(epochs) > 1 else Axis(epochs[0] - 1, epochs[0] + 1, "epoch")


def _line(frame: Frame, xs: Sequence[float], ys: Sequence[float], style: str) -> Markup:
    """A line; a single point becomes a dot."""
    if len(xs) == 1:
        return Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"/>').format(style, *frame.at(xs[0], ys[0]))
    return Markup('<polyline class="line {}" points="{}"/>').format(style, frame.path(xs, ys))


def _svg(frame: Frame, drawn: Sequence[Markup], title: str) -> Markup:
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(
            WIDTH, HEIGHT, title, title
        )
    ]
    bottom = frame.at(frame.x.low, frame.y.low)
    corner = frame.at(frame.x.high, frame.y.high)
    for value in round_ticks(frame.y.low, frame.y.high):
        y = frame.at(frame.x.low, value)[1]
        parts.append(Markup('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(bottom[0], y, corner[0], y))
        parts.append(
            Markup('<text class="tick end" x="{}" y="{}">{}</text>').format(bottom[0] - 6, y + 4, _told(value))
        )
    for value in round_ticks(frame.x.low, frame.x.high):
        x = frame.at(value, frame.y.low)[0]
        parts.append(Markup('<text class="tick mid" x="{}" y="{}">{}</text>').format(x, bottom[1] + 16, _told(value)))
    parts.append(Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(*bottom, corner[0], bottom[1]))
    parts.append(
        Markup('<text class="name mid" x="{}" y="{}">{}</text>').format(
            (bottom[0] + corner[0]) / 2, HEIGHT - 8, frame.x.label
        )
    )
    middle = (bottom[1] + corner[1]) / 2
    parts.append(
        Markup('<text class="name mid" transform="rotate(-90 12 {})" x="12" y="{}">{}</text>').format(
            middle, middle, frame.y.label
        )
    )
    return Markup("").join([*parts, *drawn, Markup("</svg>")])


def _told(value: float) -> str:
    return f"{value:g}" if abs(value) >= 1e-9 else "0"
