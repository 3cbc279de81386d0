"""What a sample's path costs, part by part, beside what it is compared with: as data, tables and stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybrid_model import energy
from hybrid_model.bundle import Manifest

#: The part that a baseline consists of, besides the radio.
BASELINE = "full precision"
#: How a part is drawn: a fill that tells it without colours, and a colour.
FILLS = {
    "stem": ("▓", "cyan"),
    "convolutions": ("█", "green"),
    "shortcuts": ("▒", "yellow"),
    "exits": ("◆", "magenta"),
    "cut": ("╳", "red"),
    "radio": ("~", "bright_red"),
    "cloud": ("░", "blue"),
    BASELINE: ("■", "bright_black"),
}
TITLES = {"mac": "multiply-accumulates", "full": "with memory and radio"}
_BAR_CELLS = 42
_RENDERED_PER_VIEW = 4


@dataclass(frozen=True)
class Bar:
    """A path of a sample, or a baseline, with its joules by part."""

    name: str
    parts_j: Mapping[str, float]

    @property
    def energy_j(self) -> float:
        """All parts together."""
        return sum(self.parts_j.values())

    @property
    def is_baseline(self) -> bool:
        """Whether this is what paths are compared with."""
        return BASELINE in self.parts_j


def bars(manifest: Manifest, view: energy.View) -> list[Bar]:
    """The path to every exit, the path to the cloud, then the baselines: the twin, and ResNet-32 for CIFAR.

    In the view `full` there are two of each: at the sensor, where nothing travels, and in the cloud, where every sample
    travels whole. Raises ValueError in the view `full` for layers that do not say what they read and write.
    """
    layers, sent = manifest.layers, manifest.cut.bytes
    found = [Bar(one.name, energy.path_parts_j(layers, number, view)) for number, one in enumerate(manifest.exits)]
    found.append(Bar("cloud", energy.path_parts_j(layers, "cloud", view, sent)))
    baselines = {"twin": energy.twin_energy_j(layers, view)}
    if _has_standard(manifest):
        baselines["ResNet-32"] = energy.standard_energy_j(view=view, classes=len(manifest.classes))
    found += [Bar(name, {BASELINE: joules}) for name, joules in baselines.items()]
    if view.radio is not None:
        travel = view.sending_j(whole_sample_bytes(manifest))
        found += [Bar(f"{name}, sent", {BASELINE: joules, "radio": travel}) for name, joules in baselines.items()]
    return found


def whole_sample_bytes(manifest: Manifest) -> int:
    """Bytes of a sample as it is: a byte a value for pictures, else 16 bits. Files know no sample to compress."""
    values = prod(manifest.input.shape)
    return values if manifest.input.dtype == "uint8" else 2 * values


def views(manifest: Manifest, radio: energy.Radio) -> list[energy.View]:
    """The views in which the manifest's layers can be counted."""
    return [energy.MAC, energy.full_view(radio)] if energy.has_traffic(manifest.layers) else [energy.MAC]


def figures(manifest: Manifest, radio: energy.Radio) -> dict[str, Any]:
    """By view: joules of every stage, and of every path and baseline by part. `full` is null where it is not known."""
    found: dict[str, Any] = {"full": None}
    for view in views(manifest, radio):
        stages = energy.stage_energy_j(manifest.layers, view)
        found[view.name] = {
            "edge_stages": list(stages.edge),
            "cloud": stages.cloud,
            "paths": [
                {"name": bar.name, "baseline": bar.is_baseline, "energy_j": bar.energy_j, "parts_j": dict(bar.parts_j)}
                for bar in bars(manifest, view)
            ],
        }
    if found["full"] is not None:
        found["full"] |= {"radio": radio.name, "whole_sample_bytes": whole_sample_bytes(manifest)}
    return found


def render(manifest: Manifest, radio: energy.Radio) -> RenderableType:
    """Tables and bars of every view that the manifest knows enough for."""
    shown: list[RenderableType] = []
    for view in views(manifest, radio):
        listed = bars(manifest, view)
        shown += [_table(listed, view), Text(""), _picture(listed), Text("")]
    names = {"/twin": "the twin"} | ({"/RN32": "ResNet-32"} if _has_standard(manifest) else {})
    note = f"{', '.join(names)}: times below {', '.join(names.values())} at the sensor."
    if len(shown) == _RENDERED_PER_VIEW:
        note += " Memory and radio: not known to this file; export it again."
    else:
        note += (
            f" 'sent': in the cloud, to which every sample travels, {whole_sample_bytes(manifest):,} bytes by "
            f"{radio.name}; `evaluate` measures it compressed."
        )
    shown.append(Text(note + "\n", "dim"))
    return Group(*shown)


def _table(listed: list[Bar], view: energy.View) -> Table:
    """Paths and baselines downwards, their parts and what they save to the right."""
    title = f"Energy of a sample in uJ, {TITLES[view.name]} (estimate)"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    parts = [part for part in FILLS if part != BASELINE and any(bar.parts_j.get(part) for bar in listed)]
    short = {"convolutions": "convs", "shortcuts": "ways"}
    for part in parts:
        table.add_column(short.get(part, part), justify="right", no_wrap=True)
    table.add_column("all", justify="right", no_wrap=True, style="bold")
    baselines = {bar.name: bar.energy_j for bar in listed if bar.is_baseline and "radio" not in bar.parts_j}
    for name in baselines:
        table.add_column({"twin": "/twin", "ResNet-32": "/RN32"}[name], justify="right", no_wrap=True)
    for bar in listed:
        cells = [microjoules(bar.parts_j[part]) if bar.parts_j.get(part) else "-" for part in parts]
        less = [
            f"{_times(base / bar.energy_j)}" if bar.energy_j and not bar.is_baseline else ""
            for base in baselines.values()
        ]
        table.add_row(bar.name, *cells, microjoules(bar.energy_j), *less)
    return table


def _picture(listed: list[Bar]) -> Text:
    """Bars to one scale, from zero: a logarithm would make a lie of stacked lengths."""
    longest = max(bar.energy_j for bar in listed) or 1.0
    text = Text()
    for bar in listed:
        text.append(f"{bar.name:<15} ")
        reached, filled = 0.0, 0
        for part, (fill, colour) in FILLS.items():
            reached += bar.parts_j.get(part, 0.0)
            cells = round(reached / longest * _BAR_CELLS) - filled
            text.append(fill * cells, style=colour)
            filled += cells
        text.append("" if filled else "▏")
        text.append(f" {microjoules(bar.energy_j)} uJ\n")
    text.append(" " * 16)
    for part in (part for part in FILLS if any(bar.parts_j.get(part) for bar in listed)):
        fill, colour = FILLS[part]
        if text.plain.count("\n") == len(listed) and len(text.plain.rsplit("\n", 1)[1]) + len(part) > 74:
            text.append("\n" + " " * 16)
        text.append(fill, style=colour)
        text.append(f" {part}  ", style="dim")
    return text


def _has_standard(manifest: Manifest) -> bool:
    return manifest.provenance.get("dataset") in energy.STANDARD_FOR


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def microjoules(joules: float) -> str:
    """Microjoules to three places that count."""
    value = joules * 1e6
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{places}f}"
