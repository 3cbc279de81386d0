"""The live table of a demonstration, and its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.demo.books import StreamTally, percentile

_DEVICES_SHOWN = 12
_SPARED = {
    "reused": "hard, with the cloud's answer to one like it",
    "rate_limited": "hard, with the edge's own label",
}


def live(tally: StreamTally, *, frames: int, notes: Mapping[str, str], workers: Mapping[str, bool]) -> RenderableType:
    """What the stream looks like now. `notes`: device -> what is wrong with it; `workers`: process -> is it alive."""
    paths = Table(expand=False)
    paths.add_column("path")
    for heading in ("final", "p50", "p99"):
        paths.add_column(heading, justify="right")
    for path, latencies_s in tally.latencies_s.items():
        p50, p99 = percentile(latencies_s, 0.5), percentile(latencies_s, 0.99)
        paths.add_row(path, f"{len(latencies_s):,}", _ms(p50), _ms(p99))
    state = Text()
    for worker, alive in workers.items():
        state.append(f"{worker} ", style="green" if alive else "bold red")
    state.append(f"  {tally.throughput_hz:,.0f} labels/s, {tally.waiting:,} on their way", style="dim")
    bar = ProgressBar(total=max(frames, 1), completed=tally.finals, width=60)
    return Group(devices(tally, notes=notes), paths, bar, Text(), state)


def devices(tally: StreamTally, *, notes: Mapping[str, str]) -> Table:
    """What became of each device's samples; the degraded ones first where there are too many to show."""
    table = Table(expand=False)
    table.add_column("device", no_wrap=True)
    for heading in ("sent", "final", "left on edge", "out of domain", "right"):
        table.add_column(heading, justify="right")
    table.add_column("degraded by")
    names = sorted(tally.devices, key=_natural)
    shown = sorted(sorted(names, key=lambda name: name not in notes)[:_DEVICES_SHOWN], key=_natural)
    for name in shown:
        device = tally.devices[name]
        table.add_row(
            name,
            f"{device.sent:,}",
            f"{device.finals:,}",
            _share(device.confident, device.finals),
            f"{device.out_of_domain:,}",
            _share(device.right, device.finals),
            Text(notes.get(name, ""), style="yellow"),
        )
    if len(names) > len(shown):
        table.add_row(f"and {len(names) - len(shown)} more")
    return table


def summary(figures: Mapping[str, Any], *, reduction_standard: float | None) -> Table:
    """The figures with which it ends. `reduction_standard`: against a standard network, where there is one to name."""
    table = Table(show_header=False, title="Dewpoint", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("samples", f"{figures['samples']:,}", "acknowledged by the broker")
    table.add_row("final labels", f"{figures['labels_final']:,}", "")
    style = "bold red" if figures["lost"] else "green"
    table.add_row("lost", Text(str(figures["lost"]), style=style), "samples without a final label")
    table.add_row("duplicates", str(figures["duplicates"]), "finals that came twice, or differ")
    spared = {name: figures[name] for name in ("reused", "rate_limited") if figures[name]}
    rest = "the rest was hard" if spared else "the rest rose to the cloud"
    table.add_row("answered on the edge", f"{figures['edge_share']:.1%}", rest)
    for name, count in spared.items():
        table.add_row(f"  {name.replace('_', ' ')}", f"{count:,}", _SPARED[name])
    table.add_row("out of domain", f"{figures['out_of_domain']:,}", "rose, however sure the edge was of them")
    table.add_row("accuracy", f"{figures['accuracy']:.2%}", "")
    table.add_row("  edge alone", f"{figures['accuracy_edge_only']:.2%}", "same inputs, deepest exit")
    table.add_row("  cloud alone", f"{figures['accuracy_cloud_only']:.2%}", "same inputs, all escalated")
    table.add_row(
        "energy, MACs", _times(figures["energy_reduction_mac"]), "less than its full-precision twin (estimate)"
    )
    if reduction_standard is not None:
        table.add_row("", _times(reduction_standard), "less than ResNet-32 (estimate)")
    table.add_row("features", f"{figures['feature_bytes_mean']:,.0f} B", "of a sample that rises")
    table.add_row("input", f"{figures['input_bytes_mean']:,.0f} B", "payload of a sample")
    for path, times in figures["latency_ms"].items():
        if times["p50"] is not None:
            table.add_row(f"latency, {path}", f"{times['p50']:,.1f} ms", f"p99 {times['p99']:,.1f} ms")
    table.add_row("throughput", f"{figures['throughput_hz']:,.0f} /s", "")
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.1f} ms"


def _times(factor: float | None) -> str:
    return "-" if factor is None else f"{factor:.2f} x"


def _natural(name: str) -> tuple[str, int]:
    """camera-10 after camera-9."""
    kind, _, number = name.rpartition("-")
    return kind, int(number) if number.isdigit() else 0
