"""Draws both runs side by side: what was to be kept with its band above, where the exits stood below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.control.latency import Seen
from tests.control.plant import Look
from tests.control.windows import escalated_shares

_BLUE, _GREEN, _RED, _GREY = "#1f77b4", "#2ca02c", "#d62728", "#7f7f7f"


def draw(share: tuple[dict[str, Any], list[Look]], latency: tuple[dict[str, Any], Seen], path: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9.5, 5.6), sharex="col", layout="constrained")
    _share(axes[:, 0], *share)
    _latency(axes[:, 1], *latency)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[1]:
        axis.set_xlabel("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _share(axes: Any, figures: dict[str, Any], looks: list[Look]) -> None:
    top, bottom = axes
    budget, turned_s = figures["budget"], figures["turned_hard_s"]
    end_s = looks[-1].seconds
    fine = escalated_shares(looks, 0.0, end_s, step_s=1.0)
    windows = [
        *escalated_shares(looks, turned_s % 10.0, turned_s),
        *escalated_shares(looks, turned_s, end_s),
    ]
    top.axhspan(100 * budget - 4, 100 * budget + 4, color=_GREEN, alpha=0.10, linewidth=0, label="± 4 points")
    top.axhspan(100 * budget - 2, 100 * budget + 2, color=_GREEN, alpha=0.18, linewidth=0, label="± 2 points")
    top.plot([one.end_s for one in fine], [100 * one.value for one in fine], color=_GREY, linewidth=0.7, label="1 s")
    for number, one in enumerate(windows):
        label = "means over 10 s" if number == 0 else None
        top.plot([one.begin_s, one.end_s], [100 * one.value] * 2, color=_BLUE, linewidth=2.5, label=label)
    top.set_ylabel("samples that rise, %")
    top.set_ylim(bottom=0)
    top.set_title(
        f"budget: {100 * budget:g} % rise, at {figures['samples_per_s']:.0f} samples/s", fontsize=10, loc="left"
    )
    top.text(turned_s, top.get_ylim()[1], " the picture blurs", fontsize=8, va="top", color=_RED)
    top.legend(fontsize=8, frameon=False, loc="upper left")
    _position(bottom, looks)
    for axis in axes:
        axis.axvline(turned_s, color=_RED, linewidth=1, linestyle="--")


def _latency(axes: Any, figures: dict[str, Any], seen: Seen) -> None:
    top, bottom = axes
    budget_ms = figures["budget_ms"]
    top.axhspan(0, budget_ms, color=_GREEN, alpha=0.15, linewidth=0, label="budget")
    top.plot(
        [one.end_s for one in seen.p99_ms],
        [one.value for one in seen.p99_ms],
        color=_BLUE,
        linewidth=1.5,
        label="p99 of the last 10 s",
    )
    top.set_ylabel("latency of final labels, ms")
    top.set_ylim(bottom=0)
    top.set_title(
        f"budget: p99 at most {budget_ms:g} ms, at {figures['samples_per_s']:.0f} samples/s", fontsize=10, loc="left"
    )
    top.text(seen.killed_s, top.get_ylim()[1], " one of two cloud workers killed", fontsize=8, va="top", color=_RED)
    top.legend(fontsize=8, frameon=False, loc="upper left")
    _position(bottom, seen.looks)
    for axis in axes:
        axis.axvline(seen.killed_s, color=_RED, linewidth=1, linestyle="--")


def _position(axis: Any, looks: list[Look]) -> None:
    axis.plot([one.seconds for one in looks], [one.position for one in looks], color=_BLUE, linewidth=1.2)
    axis.set_ylabel("position on the path\n(higher: fewer rise)")
