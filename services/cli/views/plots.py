"""Pictures by matplotlib: where the energy goes, accuracy against edge share, corrupted pictures, why a sample rose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.errors import DewpointError
from services.cli.views import energy_view

if TYPE_CHECKING:
    from hybrid_model.evaluation import CorruptionReport, Curve

SUFFIXES = (".svg", ".png", ".pdf")
_COLOURS = {
    "stem": "#17becf",
    "convolutions": "#2ca02c",
    "shortcuts": "#bcbd22",
    "exits": "#e377c2",
    "cut": "#d62728",
    "radio": "#ff7f0e",
    "cloud": "#1f77b4",
    energy_view.BASELINE: "#7f7f7f",
}


class PictureError(DewpointError, ValueError):
    """A picture that cannot be drawn; the message says why and what to do."""


def require(path: Path) -> None:
    """Raises PictureError where `path` has another suffix than SUFFIXES, or matplotlib is not installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise PictureError(f"{path}: pictures are written as {', '.join(SUFFIXES)}; give it one of these suffixes")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PictureError("pictures need matplotlib; install it with: pip install 'dewpoint[train]'") from None


def draw_energy(manifest: Manifest, path: Path, radio: energy.Radio) -> None:
    """Stacked bars of every path and baseline, one panel for each view, each to its own scale from zero."""
    require(path)
    pyplot = _pyplot()
    shown = energy_view.views(manifest, radio)
    figure, axes = pyplot.subplots(len(shown), 1, figsize=(7.5, 3.0 * len(shown)), squeeze=False, layout="constrained")
    for axis, view in zip(axes[:, 0], shown, strict=True):
        _stack(axis, energy_view.bars(manifest, view))
        axis.set_title(f"{manifest.name}: {energy_view.TITLES[view.name]}", fontsize=9, loc="left")
    _save(pyplot, figure, path)


def draw_curve(curve: Curve, path: Path) -> None:
    """Accuracy against edge share: the path, the part of it that passed, the working point, and the whole networks."""
    require(path)
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(7.0, 4.2), layout="constrained")
    points = curve.points
    shares = [100 * one.edge_share for one in points]
    accuracies = [100 * one.accuracy for one in points]
    axis.fill_between(
        shares,
        [100 * one.accuracy_interval[0] for one in points],
        [100 * one.accuracy_interval[1] for one in points],
        color="#1f77b4",
        alpha=0.12,
        linewidth=0,
        label="95 % interval",
    )
    axis.plot(shares, accuracies, color="#1f77b4", marker=".", linewidth=1, label="calibrated path")
    passed = [number for number, one in enumerate(points) if one.passed]
    if passed:
        label = f"passed: errors at exits at most {curve.alpha:.2%}"
        axis.plot(
            [shares[n] for n in passed], [accuracies[n] for n in passed], color="#2ca02c", linewidth=3, label=label
        )
    for number, one in enumerate(points):
        if one.working:
            label = f"working point: {accuracies[number]:.2f} % at {shares[number]:.1f} %"
            axis.plot(shares[number], accuracies[number], "D", color="#d62728", markersize=7, label=label)
    if curve.accuracy_full_precision_twin is not None:
        level = 100 * curve.accuracy_full_precision_twin
        axis.axhline(level, color="#7f7f7f", linestyle="--", linewidth=1, label=f"full-precision twin: {level:.2f} %")
    axis.set_xlabel("samples that the edge answers, %")
    axis.set_ylabel("accuracy, %")
    axis.set_title(f"{curve.bundle} on {curve.dataset}, {curve.samples:,} {curve.split} samples", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="lower left")
    _save(pyplot, figure, path)


def draw_corruptions(report: CorruptionReport, path: Path) -> None:
    """Two heat maps, kinds by severities, the pictures as they are in front: right answers, and wrong but sure ones."""
    require(path)
    pyplot = _pyplot()
    plain = report.uncorrupted
    panels = (
        ("right, %", "Greens", 100.0, [[plain.hybrid, *(at.hybrid for at in row)] for row in report.kinds.values()]),
        (
            "wrong but sure, % of all",
            "OrRd",
            None,
            [[plain.wrong_but_sure, *(at.wrong_but_sure for at in row)] for row in report.kinds.values()],
        ),
    )
    figure, axes = pyplot.subplots(1, 2, figsize=(8.0, 5.0), layout="constrained", sharey=True)
    for axis, (title, colours, most, shares) in zip(axes, panels, strict=True):
        values = 100 * np.array(shares)
        top = most or max(1.0, float(values.max()))
        axis.imshow(values, cmap=colours, vmin=0, vmax=top, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            ink = "white" if value > 0.7 * top else "black"
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=ink)
        axis.set_xticks(range(values.shape[1]), ["none", *map(str, range(1, values.shape[1]))], fontsize=8)
        axis.set_xlabel("severity", fontsize=8)
        axis.set_title(title, fontsize=9)
    axes[0].set_yticks(range(len(report.kinds)), [kind.replace("_", " ") for kind in report.kinds], fontsize=8)
    figure.suptitle(
        f"{report.bundle} on {report.samples:,} corrupted {report.split} samples of {report.dataset}", fontsize=10
    )
    _save(pyplot, figure, path)


def draw_explanation(found: dict[str, Any], path: Path) -> None:
    """The input of an explanation (its JSON), and beside or below it the occlusion map."""
    require(path)
    from services.cli.views import explanation_view

    pyplot = _pyplot()
    surer = explanation_view.grid(found["occlusion"]["surer"])
    finite = surer[np.isfinite(surer)]
    strongest = float(np.abs(finite).max()) if len(finite) and finite.any() else 1.0
    pixels = explanation_view.picture_of(found["input"])
    colours = {"cmap": "PuOr_r", "vmin": -strongest, "vmax": strongest, "interpolation": "nearest"}
    if pixels is None and surer.shape[0] == 1:
        figure, axes = pyplot.subplots(
            2, 1, figsize=(7.0, 4.0), layout="constrained", sharex=True, height_ratios=(5, 1)
        )
        values = np.array(found["input"]["values"], dtype=np.float64)
        names = found["input"]["channels"] or [f"channel {number}" for number in range(values.shape[1])]
        for name, channel in zip(names, values.T, strict=True):
            axes[0].plot(channel, linewidth=0.9, label=name)
        axes[0].legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes[0].set_title(explanation_view.sentence(found), fontsize=8, loc="left")
        extent = (-0.5, surer.shape[1] * found["occlusion"]["cell"][1] - 0.5, 0, 1)
        drawn = axes[1].imshow(surer, aspect="auto", extent=extent, **colours)
        axes[1].set_yticks([])
        axes[1].set_xlabel("readings", fontsize=8)
    else:
        figure, axes = pyplot.subplots(1, 2, figsize=(7.0, 3.4), layout="constrained")
        if pixels is not None:
            axes[0].imshow(pixels, interpolation="nearest")
        axes[0].set_axis_off()
        drawn = axes[1].imshow(surer, **colours)
        axes[1].set_axis_off()
        figure.suptitle(explanation_view.sentence(found), fontsize=8)
    bar = figure.colorbar(drawn, ax=axes[1], location="right" if pixels is not None else "bottom")
    bar.set_label("surer when covered", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _save(pyplot, figure, path)


def _stack(axis: Any, bars: list[energy_view.Bar]) -> None:
    longest = max(bar.energy_j for bar in bars)
    for part, colour in _COLOURS.items():
        widths = [1e6 * bar.parts_j.get(part, 0.0) for bar in bars]
        if not any(widths):
            continue
        before = list(_COLOURS)[: list(_COLOURS).index(part)]
        starts = [1e6 * sum(bar.parts_j.get(one, 0.0) for one in before) for bar in bars]
        axis.barh(range(len(bars)), widths, 0.65, left=starts, color=colour, label=part)
    for place, bar in enumerate(bars):
        axis.text(
            1e6 * (bar.energy_j + 0.01 * longest), place, energy_view.microjoules(bar.energy_j), va="center", fontsize=8
        )
    axis.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel("microjoules a sample (estimate)", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"  # the same numbers give the same file
    return pyplot


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    pyplot.close(figure)
