"""What `dewpoint evaluate --corruptions` found, as tables for a person."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from hybrid_model.evaluation import CorruptedFigures, CorruptionReport

_CAMERAS = {"jpeg_60": "as JPEG, quality 60", "noise_8": "with noise, 8 grey levels"}


def corruption_tables(report: CorruptionReport) -> RenderableType:
    """Each kind's right answers and wrong but sure ones by severity, then the means and the cameras; 80 columns."""
    return Group("", _by_severity(report), "", _together(report))


def _by_severity(report: CorruptionReport) -> Table:
    table = _table(f"{report.bundle} on {report.samples:,} corrupted pictures of {report.dataset}, by severity, %")
    table.caption = "right: of all; wrong: left at an exit with a wrong answer, of all"
    table.caption_justify = "left"
    severities = range(1, len(next(iter(report.kinds.values()))) + 1)
    for severity in severities:
        table.add_column(f"{'right' if severity == 1 else ''}\n{severity}", justify="right", no_wrap=True)
    for severity in severities:
        heading = f"{'wrong' if severity == 1 else ''}\n{severity}"
        table.add_column(heading, justify="right", no_wrap=True, style="dim", header_style="dim")
    for kind, row in report.kinds.items():
        right, wrong = [_percent(at.hybrid) for at in row], [_percent(at.wrong_but_sure) for at in row]
        table.add_row(kind.replace("_", " "), *right, *wrong)
    return table


def _together(report: CorruptionReport) -> Table:
    table = _table("the same, together")
    for heading in ("left on\nthe edge", "of these\nright", "right\nof all", "sure, wrong\nof all"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("as they are", *_figures(report.uncorrupted))
    for name, found in report.camera.items():
        table.add_row(_CAMERAS.get(name, name), *_figures(found))
    table.add_row("mean of all kinds, severities", *_figures(report.mean))
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    return table


def _figures(found: CorruptedFigures) -> tuple[str, ...]:
    return tuple(
        "-" if share is None else _percent(share) + " %"
        for share in (found.edge_share, found.confident_accuracy, found.hybrid, found.wrong_but_sure)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
