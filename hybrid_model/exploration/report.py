"""What a study holds, as tables for a person, as a picture, and as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from rich.console import Group, RenderableType
from rich.table import Table

from hybrid_model.exploration.curve import WorkingPoint, pareto_front
from hybrid_model.exploration.space import ExplorationError, direction
from hybrid_model.exploration.study import Exploration, curve_of, judged_point_of

#: Rows of the front that the table shows; the JSON has all of them.
MOST_ROWS = 24
_CAPTION = (
    "uJ: of multiply-accumulates, mean per sample. MACs, full: energy reduction against the own full-precision twin in "
    "both views. bytes: of a sample that rises. edge us: the edge's mean per sample; in brackets over what the base "
    "recipe's network takes to its cut. Energies are estimates."
)
_LABELS = {
    "accuracy": "accuracy",
    "edge_share": "edge share",
    "energy_mac_uj": "energy per sample (uJ, MACs)",
    "energy_full_uj": "energy per sample (uJ, full)",
    "energy_reduction_mac": "energy reduction (MACs)",
    "energy_reduction_full": "energy reduction (full)",
    "feature_bytes": "feature bytes",
    "edge_latency_us": "edge latency (us)",
    "edge_latency_ratio": "edge latency (of the base network's)",
}


@dataclass(frozen=True)
class FrontPoint:
    """A point of a trial's curve that no point of any trial beats."""

    trial: int
    point: WorkingPoint


def front(exploration: Exploration) -> list[FrontPoint]:
    """The Pareto front over the curves of all complete trials, by the space's objectives; most accurate first.

    Of points with the same objectives, one of the oldest trial.
    """
    found = [FrontPoint(t.number, p) for t in exploration.trials(TrialState.COMPLETE) for p in curve_of(t)]
    objectives = exploration.space.objectives
    values = [tuple(float(getattr(one.point, name)) for name in objectives) for one in found]
    if not values:
        return []
    first = {value: number for number, value in reversed(list(enumerate(values)))}
    rows = sorted(first.values())
    chosen = pareto_front([values[row] for row in rows], [direction(name) for name in objectives])
    best = [found[rows[number]] for number in chosen]
    return sorted(best, key=lambda one: (-one.point.accuracy, one.point.edge_share, one.trial))


def tables(exploration: Exploration) -> RenderableType:
    """Trials by number, then the front."""
    return Group(_trials(exploration), _front(exploration))


def figures(exploration: Exploration) -> dict[str, Any]:
    """Everything that the study holds, as plain data; accuracies are on the tuning split."""
    space = exploration.space
    return {
        "study": exploration.name,
        "space": space.model_dump(mode="json"),
        "base_recipe": space.base.model_dump(mode="json"),
        "split": "tuning",
        "edge_share": exploration.edge_share,
        "points": len(space.points),
        "trials": [_trial(trial) for trial in exploration.trials() if trial.state != TrialState.PRUNED],
        "front": [{"trial": one.trial, **one.point.to_json()} for one in front(exploration)],
    }


def draw(exploration: Exploration, path: Path) -> None:
    """Writes the picture, as SVG, PNG or PDF by the suffix of `path`: accuracy over what it costs, a line per trial.

    Raises ExplorationError without a complete trial, without matplotlib, or for a suffix that it does not know.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ExplorationError("a picture needs matplotlib; install it: pip install 'dewpoint[explore]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    complete = exploration.trials(TrialState.COMPLETE)
    if not complete:
        raise ExplorationError(f"study {exploration.name} has no complete trial to draw yet")
    objectives = exploration.space.objectives
    other = next(name for name in objectives if name != "accuracy")
    columns = [other, "edge_share"] if other != "edge_share" else [other]
    best = front(exploration)
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"  # the same numbers give the same file
    figure, axes = pyplot.subplots(
        1, len(columns), figsize=(5.6 * len(columns), 4.4), sharey=True, squeeze=False, layout="constrained"
    )
    colours = matplotlib.colormaps["tab20"]
    for axis, column in zip(axes[0], columns, strict=True):
        for number, trial in enumerate(complete):
            line = _upper_edge(curve_of(trial), column)
            colour = colours(number % 20)
            x, y = [getattr(p, column) for p in line], [p.accuracy for p in line]
            axis.plot(x, y, color=colour, linewidth=1, label=f"{trial.number}: {_choices(trial)}")
            at = judged_point_of(trial)
            axis.plot(getattr(at, column), at.accuracy, "o", color=colour, markersize=5)
        axis.plot(
            [getattr(one.point, column) for one in best],
            [one.point.accuracy for one in best],
            "x",
            color="black",
            markersize=6,
            label="Pareto front",
        )
        axis.set_xlabel(_LABELS[column])
        if column.startswith("energy"):
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        elif column == "edge_share":
            axis.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("accuracy (tuning split)")
    axes[0][0].yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    figure.suptitle(f"{_title(exploration)}; dots: trials at their working point", fontsize=9)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except ValueError as error:
        raise ExplorationError(f"{path}: {error}") from error
    finally:
        pyplot.close(figure)


def _trials(exploration: Exploration) -> Table:
    table = Table(title=_title(exploration), title_justify="left", caption=_CAPTION, caption_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("choices")
    for heading in ("cloud", "hybrid", "edge share", "uJ", "MACs", "full", "bytes", "edge us"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in exploration.trials():
        if trial.state == TrialState.COMPLETE:
            cloud = curve_of(trial)[0].accuracy
            table.add_row(str(trial.number), _choices(trial), f"{cloud:.1%}", *_cells(judged_point_of(trial)))
        elif trial.state == TrialState.RUNNING:
            table.add_row(str(trial.number), _choices(trial), "runs", style="dim")
        elif trial.state == TrialState.FAIL:
            word = "failed" if "error" in trial.user_attrs else "broken off"
            table.add_row(str(trial.number), _choices(trial), word, style="dim")
    return table


def _front(exploration: Exploration) -> Table:
    best = front(exploration)
    names = ", ".join(_LABELS[name] for name in exploration.space.objectives)
    shown = best
    note = ""
    if len(best) > MOST_ROWS:
        shown = [best[int(row)] for row in np.linspace(0, len(best) - 1, MOST_ROWS).round()]
        note = f"; {MOST_ROWS} of {len(best)}"
    table = Table(title=f"Pareto front: {names}{note}", title_justify="left")
    for heading in ("trial", "exits", "hybrid", "edge share", "uJ", "MACs", "full", "bytes", "edge us"):
        table.add_column(heading, justify="left" if heading == "exits" else "right", no_wrap=True)
    for one in shown:
        exits = " ".join(str(number) for number in one.point.exits) if one.point.edge_share else "-"
        table.add_row(str(one.trial), exits, *_cells(one.point))
    return table


def _cells(point: WorkingPoint) -> list[str]:
    """Accuracy, edge share, energy, its reduction in both views, feature bytes, latency."""
    return [
        f"{point.accuracy:.1%}",
        f"{point.edge_share:.1%}",
        f"{point.energy_mac_uj:.3g}",
        f"{point.energy_reduction_mac:.1f} x",
        "-" if point.energy_reduction_full is None else f"{point.energy_reduction_full:.1f} x",
        f"{point.feature_bytes:,}",
        f"{point.edge_latency_us:,.0f} ({point.edge_latency_ratio:.2f})",
    ]


def _title(exploration: Exploration) -> str:
    space = exploration.space
    done = len(exploration.trials(TrialState.COMPLETE))
    capped = "" if space.train_samples is None else f" on {space.train_samples:,} training samples"
    epochs = space.base.schedule.epochs
    return (
        f"{exploration.name}: {done} of {min(space.trials, len(space.points))} trials, {epochs} epochs each{capped}, "
        f"tuning split, working points at {exploration.edge_share:.0%} edge share"
    )


def _trial(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "choices": trial.params,
        **trial.user_attrs,
    }


def _choices(trial: FrozenTrial) -> str:
    return ", ".join(f"{axis.rpartition('.')[2]} {label}" for axis, label in trial.params.items())


def _upper_edge(points: list[WorkingPoint], column: str) -> list[WorkingPoint]:
    """The points that no other of the same trial beats in accuracy and `column`, in the order of `column`."""
    values = [(p.accuracy, float(getattr(p, column))) for p in points]
    chosen = pareto_front(values, ["maximize", direction(column)])
    return sorted((points[row] for row in chosen), key=lambda p: float(getattr(p, column)))
