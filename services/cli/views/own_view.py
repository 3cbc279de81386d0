"""Somebody's own data, what was chosen for them, and what a training did not get to, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybrid_model.data.own import OwnData
from hybrid_model.planning import Choice
from hybrid_model.training import TrainingRun

_LEFT_OUT_SHOWN = 10


def data(own: OwnData) -> RenderableType:
    """The data by class and split in a line each, and the first files that were left out."""
    dataset = own.dataset
    classes = ", ".join(dataset.classes[:8]) + (", ..." if len(dataset.classes) > 8 else "")
    lines = [f"{dataset.name}: {len(dataset.classes)} classes ({classes})", *own.notes]
    if own.left_out:
        lines.append(f"{len(own.left_out):,} {'file' if len(own.left_out) == 1 else 'files'} left out:")
        lines += [f"  {one.source}: {one.reason}" for one in own.left_out[:_LEFT_OUT_SHOWN]]
        if len(own.left_out) > _LEFT_OUT_SHOWN:
            lines.append(f"  and {len(own.left_out) - _LEFT_OUT_SHOWN:,} more; --json has all")
    return Group(*(Text(line, overflow="fold") for line in lines))


def choices(chosen: Sequence[Choice]) -> Table:
    """What was chosen, to what, and why; what was asked for is marked."""
    table = Table("chosen", "", "because", box=None, pad_edge=False, title_justify="left")
    for choice in chosen:
        why = Text(choice.reason + (" (given)" if choice.given and choice.reason != "as asked for" else ""))
        table.add_row(Text(choice.name), Text(choice.value), why)
    return table


def not_reached(run: TrainingRun, *, twin: bool) -> str:
    """What the minutes were enough for, and what they were not."""
    schedule, passes = run.recipe.schedule, len(run.history)
    wanted = schedule.epochs_max or schedule.epochs
    minutes = run.seconds / 60
    told = f"trained in {minutes:.1f} minutes: {passes} of {wanted} passes over the training samples"
    if passes < wanted and schedule.minutes is not None:
        enough = max(1, round(1.1 * minutes * wanted / max(passes, 1)))
        told += f"; the others did not fit into the time, --minutes {enough} would have them"
    return told + ("" if twin else "; not trained: the full-precision twin to compare with (--twin)")
