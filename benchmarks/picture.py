"""A bar chart of what `benchmarks.edge_engine` measured: how many times faster than the best int8 and fp32 runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {"int8": "#1f77b4", "fp32": "#9ecae1"}
_HEIGHT = 0.38


def draw(result: dict[str, Any], path: Path) -> None:
    """Writes the chart, as SVG, PNG or PDF by the suffix of `path`; one panel for each kernel that was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # The same numbers give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"
    panels = [result, *([result["avx2"]] if "avx2" in result else [])]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(5.2 * len(panels), 3.6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        _panel(axis, panel)
    figure.suptitle(f"One thread, one sample at a time: {result['cpu']}", fontsize=10)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _panel(axis: Any, panel: dict[str, Any]) -> None:
    rows = [*panel["layers"], *panel["nets"]]
    for number, precision in enumerate(COLOURS):
        there = [(place, row) for place, row in enumerate(rows) if row[f"ratio_best_{precision}"] is not None]
        bars = axis.barh(
            [place + (number - 0.5) * _HEIGHT for place, _ in there],
            [row[f"ratio_best_{precision}"] for _, row in there],
            _HEIGHT,
            color=COLOURS[precision],
            label=f"against the best {precision}",
        )
        axis.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    if not axis.yaxis_inverted():
        axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("times faster", fontsize=8)
    axis.set_title(f"kernel {panel['kernel']}", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="lower right")
