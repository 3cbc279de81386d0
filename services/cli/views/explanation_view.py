"""An explanation for a person: the exits as a table, the input and its occlusion map in the terminal."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.pictures import read_picture

__all__ = ["kept", "picture_of", "sentence", "view"]

_SIDE: Final = 32
#: Pixels. An input beyond it, of which no network that we know is near, is drawn smaller.
_INPUT_SIDE_MAX: Final = 4096
_BARS: Final = "▁▂▃▄▅▆▇█"
_RGB = ((33, 102, 172), (247, 247, 247), (217, 95, 2))
_LESS_SURE, _NEUTRAL, _SURER = (np.array(rgb, dtype=np.float64) for rgb in _RGB)
_WEAK, _STRONG = 0.15, 0.5
_CLASSES_SHOWN: Final = 3

Grid = npt.NDArray[np.float64]


def view(found: dict[str, Any], *, colours: bool) -> RenderableType:
    """Everything that `dewpoint explain` shows; `colours`: whether the terminal has them."""
    surer = grid(found["occlusion"]["surer"])
    pixels = picture_of(found["input"])
    shown: list[RenderableType] = [
        _heading(found),
        _exits(found["exits"], found["classes"]),
        Text(sentence(found)),
        Text(""),
    ]
    if pixels is None and surer.shape[0] == 1:
        shown.append(_window(found["input"], surer, colours=colours))
    else:
        shown.append(_beside(pixels, surer, colours=colours))
    shown.append(_legend(found["occlusion"], surer, colours=colours))
    return Group(*shown)


def sentence(found: dict[str, Any]) -> str:
    """Why the sample left or did not."""
    exits = found["exits"]
    left_at = next((one for one in exits if found["decision"] == f"exit {one['exit']}"), None)
    if left_at is not None:
        return f"It left at exit {left_at['exit']}: {_rule(left_at, met=True)}."
    reasons = [f"at exit {one['exit']} {_rule(one, met=False)}" for one in exits]
    return f"It was escalated: {'; '.join(reasons)}."


def kept(found: dict[str, Any], *, limit: int = 50) -> RenderableType:
    """What a worker can explain, as a table."""
    table = Table("sample", "decision", "label", "confidence", "age", box=None)
    for one in found["inputs"][:limit]:
        age = f"{max(0.0, time.time() - one['decided_at']):.0f} s"
        name = _plain(f"{one['device']}/{one['id']}")
        table.add_row(Text(name), one["decision"], Text(_plain(one["label"])), f"{one['confidence']:.3f}", age)
    count = f"{found['kept']:,} inputs are kept, of at most {found['inputs_kept']:,}"
    return Group(table, Text(count if found["inputs_kept"] else "no inputs are kept: edge.inputs_kept is 0"))


def grid(values: Sequence[Sequence[float | None]]) -> Grid:
    """A map of the JSON as float64, NaN for null."""
    return np.array([[np.nan if value is None else value for value in row] for row in values], dtype=np.float64)


def picture_of(shown: dict[str, Any]) -> npt.NDArray[np.uint8] | None:
    """The input as pixels (H, W, 3), or none where it is no picture."""
    if "png_base64" not in shown:
        return None
    pixels = read_picture(base64.b64decode(shown["png_base64"]), side_max=_INPUT_SIDE_MAX)[:, :, :3]
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _heading(found: dict[str, Any]) -> Text:
    name = found["id"] if found["device"] is None else f"{found['device']}/{found['id']}"
    return Text(f"{_plain(name)}: {found['decision']} ({_plain(found['bundle'])})", style="bold")


def _exits(exits: Sequence[dict[str, Any]], classes: Sequence[str]) -> Table:
    table = Table("exit", "class", "confidence", "score", "leaves if", "leaves", "next best", box=None)
    for one in exits:
        table.add_row(
            str(one["exit"]),
            Text(_plain(one["label"])),
            _shown(one["confidence"]),
            f"{one['score_kind']} {_shown(one['score'])}",
            f"{_sign(one, met=True)} {_shown(one['threshold'])}",
            "yes" if one["leaves"] else "no",
            _next_best(one, classes),
        )
    return table


def _next_best(one: dict[str, Any], classes: Sequence[str]) -> Text:
    found = [(value, number) for number, value in enumerate(one["probabilities"]) if value is not None]
    others = [pair for pair in sorted(found, reverse=True) if pair[1] != one["class"]][: _CLASSES_SHOWN - 1]
    return Text(", ".join(f"{_plain(classes[number])} {value:.3f}" for value, number in others))


def _rule(one: dict[str, Any], *, met: bool) -> str:
    if one["score"] is None:
        return f"the {one['score_kind']} is no number"
    return f"{one['score_kind']} {_shown(one['score'])} {_sign(one, met=met)} {_shown(one['threshold'])}"


def _sign(one: dict[str, Any], *, met: bool) -> str:
    below = one["score_kind"] == "entropy"
    return {(True, True): "<", (True, False): ">=", (False, True): ">", (False, False): "<="}[below, met]


def _beside(pixels: npt.NDArray[np.uint8] | None, surer: Grid, *, colours: bool) -> RenderableType:
    if not colours:
        return _signs(surer)
    shown = Table.grid(padding=(0, 3))
    times = max(1, _SIDE // max(surer.shape))
    cells = np.kron(_colours(surer), np.ones((times, times, 1))).astype(np.uint8)
    panels = [("occlusion", _blocks(cells))]
    if pixels is not None:
        size = (cells.shape[1], cells.shape[0])
        panels.insert(0, ("input", _blocks(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)))))
    shown.add_row(*(Text(title, style="dim") for title, _ in panels))
    shown.add_row(*(panel for _, panel in panels))
    return shown


def _window(shown: dict[str, Any], surer: Grid, *, colours: bool) -> RenderableType:
    """A line of bars for each channel, and the map of the same time below."""
    columns = surer.shape[1]
    values = np.array([[np.nan if v is None else v for v in row] for row in shown["values"]], dtype=np.float64)
    names = shown["channels"] or [f"channel {number}" for number in range(values.shape[1])]
    table = Table.grid(padding=(0, 1))
    for name, channel in zip(names, values.T, strict=True):
        table.add_row(Text(_plain(name), style="dim"), _bars(channel, columns))
    strip = _blocks(np.repeat(_colours(surer), 2, axis=0).astype(np.uint8)) if colours else _signs(surer, wide=False)
    table.add_row(Text("occlusion", style="dim"), strip)
    return table


def _bars(values: Grid, columns: int) -> str:
    parts = np.array_split(values, columns)
    means = np.array([part.mean() for part in parts if len(part)])
    finite = means[np.isfinite(means)]
    low, span = (finite.min(), float(np.ptp(finite)) or 1.0) if len(finite) else (0.0, 1.0)
    return "".join(_BARS[int(7 * (mean - low) / span)] if np.isfinite(mean) else "?" for mean in means)


def _legend(occlusion: dict[str, Any], surer: Grid, *, colours: bool) -> Text:
    height, width = occlusion["patch"]
    what = f"{height} x {width}" if surer.shape[0] > 1 or height > 1 else f"{width} readings"
    strongest = _strongest(surer)
    text = Text(
        f"Covered by the mean, {what} at a time; exit {occlusion['exit']}'s {occlusion['score_kind']} changes by"
    )
    text.append(f" up to {strongest:.3g}: ")
    if colours:
        text.append("  ", style=_on(_LESS_SURE)).append(" less sure without it: it relies on this; ")
        text.append("  ", style=_on(_SURER)).append(" surer without it: this held it back.")
    else:
        text.append("- less sure without it: it relies on this; + surer without it: this held it back; ? no number.")
    return text


def _blocks(pixels: npt.NDArray[np.uint8]) -> Text:
    """Two rows of pixels (H, W, 3) a line of text."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    text = Text(no_wrap=True)
    for top, bottom in zip(pixels[0::2], pixels[1::2], strict=True):
        for upper, lower in zip(top.tolist(), bottom.tolist(), strict=True):
            text.append("▀", style=f"rgb({upper[0]},{upper[1]},{upper[2]}) on rgb({lower[0]},{lower[1]},{lower[2]})")
        text.append("\n")
    text.right_crop(1)
    return text


def _signs(surer: Grid, *, wide: bool = True) -> Text:
    """For terminals without colours: signs, twice where the change is strong."""
    strongest = _strongest(surer)
    lines = []
    for row in surer:
        cells = []
        for value in row:
            part = abs(value) / strongest if strongest else 0.0
            sign = "?" if np.isnan(value) else "·" if part < _WEAK else "+" if value > 0 else "-"
            cells.append(f"{sign * (1 + (part >= _STRONG)):>2}" if wide else sign)
        lines.append((" " if wide else "").join(cells))
    return Text("\n".join(lines), no_wrap=True)


def _colours(surer: Grid) -> Grid:
    """(rows, columns, 3): neutral at 0, towards one end or the other by the share of the strongest change."""
    strongest = _strongest(surer)
    part = np.nan_to_num(surer / strongest if strongest else np.zeros_like(surer))[..., np.newaxis]
    end = np.where(part > 0, _SURER, _LESS_SURE)
    return _NEUTRAL + np.abs(part) * (end - _NEUTRAL)


def _strongest(surer: Grid) -> float:
    return float(np.nanmax(np.abs(surer), initial=0.0)) if np.isfinite(surer).any() else 0.0


def _on(rgb: Grid) -> str:
    return "on rgb({:.0f},{:.0f},{:.0f})".format(*rgb)


def _shown(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4g}"


def _plain(text: str) -> str:
    """Names come from anywhere: nothing that steers a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))
